"""The pages that a person looks at: one for the studio, one to review each media.

Here: what a page shows and how it looks. Not here: serving them (``reports.server``), the figures
of the studio (``reports.report``, ``reports.catalog``). ``vendor`` has what others wrote.
"""
