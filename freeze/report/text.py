"""What a freeze says: lines for the screen, JSON and HTML for --report."""

from __future__ import annotations

from collections.abc import Iterator

from freeze.errors import Log, listed
from freeze.request import Request
from tracker.encoder.contract import Contract, contract_path

MARK = {"repair": "mended", "note": "note", "warning": "warning"}


def findings(log: Log) -> Iterator[str]:
    """One line per finding."""
    for f in log.findings:
        nodes = f"  [{listed(f.nodes, 4)}]" if f.nodes else ""
        yield f"{MARK[f.kind]:8}{f.code}: {f.why}{nodes}"


def text(request: Request, contract: Contract, log: Log) -> str:
    """The short report of a successful freeze."""
    proof = contract.proof
    height, width, channels = contract.input_shape
    lines = [
        *findings(log),
        (
            f"frozen  {request.out}: {contract.input_name} {contract.input_dtype} [?, {height}, {width}, {channels}]"
            f" {contract.colour_order} -> {contract.output_name} float32 [?, {contract.dimension}],"
            f" {contract.precision}"
        ),
    ]
    lines.append(
        f"proved  against {proof['live_route']}: max |difference| {proof['max_abs_difference']:.2g} on"
        f" {proof['inputs']} images, batches of {', '.join(map(str, proof['batches']))} agree within"
        f" {proof['batch_difference']:.2g}, reloaded in a fresh process {proof['reload_difference']:.2g}"
    )
    if "cosine_to_f32" in proof:
        lines.append(
            f"        cosine to the float32 features at least {proof['cosine_to_f32']:.6f}; float32 itself proved"
            f" within {proof['f32']['max_abs_difference']:.2g}"
        )
    lines.append(f"contract {contract_path(request.out) if request.out else ''}, SHA-256 {contract.graph_sha256[:16]}…")
    return "\n".join(lines)
