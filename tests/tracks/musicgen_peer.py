"""The peer: transformers, with optimum-onnx to export a MusicGen of random weights, in a child.

Its packages need another ``huggingface_hub`` than the project: they live in a folder of their own
(``peers`` in the environment's root, made by ``make setup`` from ``musicgen_peer.txt``) that only
this child sees. Commands: ``export FOLDER SIZE`` writes the model and what transformers makes of
it; ``time FOLDER FRAMES SIZE`` generates with transformers and prints what that took.
"""

# These packages are not in the environment that the types are checked in.
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

PEERS = Path(sys.prefix) / "peers"
PROMPT = "slow dark drone"
WORDS = (*PROMPT.split(), "bright", "piano", "bpm", "in", "minor", "d", "90", ",", "calm")
FRAMES = 57


def run_peer(*arguments: object) -> str:
    """Run a command of this module where transformers is; return what it prints."""
    if not PEERS.is_dir():
        raise FileNotFoundError(f"transformers is not in {PEERS}: run `make setup`")
    done = subprocess.run(
        [sys.executable, str(Path(__file__)), *map(str, arguments)],
        env=os.environ | peer_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the peer failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def peer_environment(threads: int = 1) -> dict[str, str]:
    """Return what the peer's process needs to find its packages, and no network."""
    return {"PYTHONPATH": str(PEERS), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(threads)}


# ---------------------------------------------------------------------- in the child


def build(size: str):
    """Return a MusicGen of random weights: ``tiny``, or ``mid`` for measuring speed."""
    import torch
    from transformers import (
        EncodecConfig,
        MusicgenConfig,
        MusicgenDecoderConfig,
        MusicgenForConditionalGeneration,
        T5Config,
    )

    layers, heads, hidden, filters = {"tiny": (2, 2, 32, 4), "mid": (12, 12, 768, 16)}[size]
    torch.manual_seed(0)
    text = T5Config(
        vocab_size=64, d_model=32, d_kv=hidden // heads, d_ff=64, num_layers=2, num_heads=2
    )
    audio = EncodecConfig(
        sampling_rate=32_000,
        audio_channels=1,
        num_filters=filters,
        upsampling_ratios=[8, 5, 4, 4],
        codebook_size=2048,
        hidden_size=32,
        codebook_dim=32,
        num_lstm_layers=1,
        target_bandwidths=[2.2],
        normalize=False,
        use_causal_conv=False,
        norm_type="weight_norm",
        trim_right_ratio=1.0,
    )
    decoder = MusicgenDecoderConfig(
        vocab_size=2048,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        hidden_size=hidden,
        ffn_dim=4 * hidden,
        num_codebooks=4,
        pad_token_id=2048,
        bos_token_id=2048,
        max_position_embeddings=2048,
    )
    config = MusicgenConfig.from_sub_models_config(text, audio, decoder)
    model = MusicgenForConditionalGeneration(config).eval()
    with torch.no_grad():  # random weights choose the same code for ever; larger ones do not
        for head in model.decoder.lm_heads:
            head.weight.mul_(20)
        for weight in model.audio_encoder.quantizer.parameters():
            weight.normal_()
        for layer in model.audio_encoder.quantizer.layers:
            layer.codebook.embed.normal_()
    generation = model.generation_config
    generation.decoder_start_token_id = generation.pad_token_id = generation.bos_token_id = 2048
    generation.guidance_scale, generation.do_sample = 3.0, False
    return model


def tokenizer(folder: Path) -> None:
    """Write a tokenizer of a few words that ends a text as T5's does."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    vocabulary = {w: i for i, w in enumerate(("<pad>", "</s>", "<unk>", *WORDS))}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 1)]
    )
    made.enable_padding(length=32)  # as the real file has: the runner must switch it off
    made.save(str(folder / "tokenizer.json"))


def generate(model, frames: int, **how: object):
    """Return codes (1, 4, frames) and samples (1, 1, 640 × frames), by transformers."""
    import torch
    from tokenizers import Tokenizer

    tokens = Tokenizer.from_file(str(Path(sys.argv[2]) / "text" / "tokenizer.json"))
    tokens.no_padding()
    ids = torch.tensor([tokens.encode(PROMPT).ids])
    seen = {}
    decode = model.audio_encoder.decode

    def listening(codes, *rest, **named):
        seen["codes"] = codes[0]
        return decode(codes, *rest, **named)

    model.audio_encoder.decode = listening
    with torch.inference_mode():
        audio = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=frames + 3, **how
        )
    model.audio_encoder.decode = decode
    return seen["codes"], audio


def peak_mb() -> float:
    """Return the most memory that this process had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def export(folder: Path, size: str) -> None:
    """Write ``text/`` and ``graphs/`` as the hub's folders, and transformers' own results."""
    import numpy as np
    from optimum.exporters.onnx import onnx_export_from_model
    from optimum.onnx import merge_decoders

    text, graphs = folder / "text", folder / "graphs"
    text.mkdir(parents=True)
    model = build(size)
    tokenizer(text)
    if size == "tiny":
        results = {}
        for name, scale in (("guided", 3.0), ("plain", 1.0)):
            codes, audio = generate(model, FRAMES, guidance_scale=scale)
            results |= {f"{name}_codes": codes.numpy(), f"{name}_audio": audio.numpy()}
        np.savez(folder / "reference.npz", **results)
    try:
        onnx_export_from_model(model, graphs, task="text-to-audio", do_validation=False)
    except Exception as error:  # it stops before the merged file, which is made below
        print(f"export: {error}", file=sys.stderr)
    decoders = [graphs / f"{name}.onnx" for name in ("decoder_model", "decoder_with_past_model")]
    merged = graphs / "decoder_model_merged.onnx"
    merge_decoders(*map(str, decoders), save_path=str(merged), strict=False)
    (text / "config.json").write_text((graphs / "config.json").read_text())


def main() -> None:
    """Run a command."""
    import torch

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    command, folder = sys.argv[1], Path(sys.argv[2])
    if command == "export":
        export(folder, sys.argv[3])
    else:
        frames, model = int(sys.argv[3]), build(sys.argv[4])
        sampled = {"do_sample": True, "top_k": 250}
        generate(model, 8, **sampled)
        wall, cpu = time.perf_counter(), time.process_time()
        generate(model, frames, **sampled)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(json.dumps({"wall_s": wall, "cpu_s": cpu, "peak_mb": peak_mb()}))


if __name__ == "__main__":
    main()
