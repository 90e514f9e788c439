"""What makers are given: store, ledger, models, rates and meters."""
