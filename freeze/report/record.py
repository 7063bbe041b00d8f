"""What a successful freeze leaves besides graph and contract: --report as JSON or HTML, --tensorboard."""

from __future__ import annotations

import json
from html import escape
from pathlib import Path
from typing import Any

from freeze.errors import Finding, FreezeError
from freeze.graph.graphdef import Graph, GraphDef, pruned
from freeze.job import Job
from freeze.report.picture import svg
from freeze.report.text import MARK
from tracker.core.tensorflow import import_tensorflow
from tracker.encoder.contract import Contract

STYLE = """
:root{color-scheme:light dark;--line:#8a93a3;--box:#eef1f6;--edge:#c3cad6;--mend:#ffd9a8;--mend-edge:#d9822b}
@media(prefers-color-scheme:dark){:root{--box:#2a2f38;--edge:#4a5260;--mend:#6b4515;--mend-edge:#f0a04b}}
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem}
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.3rem .8rem .3rem 0;
border-bottom:1px solid var(--edge)}code{overflow-wrap:anywhere}.pictures{display:flex;gap:2rem;align-items:flex-start}
.pictures>div{flex:1;min-width:0}.picture{overflow:auto;max-height:85vh;border:1px solid var(--edge)}
svg text{font:11px system-ui,sans-serif;fill:currentColor}svg .op{font-weight:600}
svg path{fill:none;stroke:var(--line);stroke-width:1.2}svg rect{fill:var(--box);stroke:var(--edge)}
svg .mended rect{fill:var(--mend);stroke:var(--mend-edge);stroke-width:2}
"""


def written(job: Job, frozen: GraphDef, contract: Contract) -> None:
    """Writes what the request asks for.

    Raises
    ------
    FreezeError
        OUTPUT_NOT_WRITABLE.
    """
    report, board = job.request.report, job.request.tensorboard
    try:
        if report is not None:
            report.parent.mkdir(parents=True, exist_ok=True)
            report.write_text(page(job, frozen, contract) if report.suffix == ".html" else _json(job, contract))
        if board is not None:
            for name, graph_def in (("before", job.model.graph_def), ("after", frozen)):
                tf = import_tensorflow()
                with tf.Graph().as_default():  # this writer refuses to work eagerly
                    tf.compat.v1.summary.FileWriter(str(board / name), graph_def=graph_def).close()
    except OSError as e:
        where = report if board is None else board
        raise FreezeError(
            "OUTPUT_NOT_WRITABLE",
            f"the report cannot be written: {e.strerror}",
            "give another --report or --tensorboard",
            [str(where)],
        ) from None


def _json(job: Job, contract: Contract) -> str:
    findings = [f.as_dict() for f in job.log.findings]
    whole = {"out": str(job.request.out), "contract": json.loads(contract.to_json()), "findings": findings}
    return json.dumps(whole, indent=1, sort_keys=True) + "\n"


def marks(graph_def: GraphDef, findings: list[Finding]) -> dict[str, str]:
    """Node name -> what was mended there, for the nodes of a graph that findings name.

    A finding's entry starts with a node's name, or several with commas; words after them say more.
    """
    graph = Graph(graph_def)
    found: dict[str, str] = {}
    for finding in (f for f in findings if f.kind == "repair"):
        for entry in (e for n in finding.nodes for e in n.split(" <- ")[0].split(", ")):
            name = entry.split(" ")[0].split(":")[0]
            while name and name not in graph.nodes and "." in name:  # `node.attribute`
                name = name.rpartition(".")[0]
            if name in graph.nodes:
                found.setdefault(name, f"{finding.code}: {finding.why}")
    return found


def page(job: Job, frozen: GraphDef, contract: Contract) -> str:
    """The HTML report: figures, findings, and the graph before and after with the mended nodes marked."""
    before = pruned(job.full, [job.output])
    height, width, channels = contract.input_shape
    facts = {
        "input": f"{contract.input_name} {contract.input_dtype} [?, {height}, {width}, {channels}], "
        f"{contract.colour_order}, {contract.input_range[0]:g}..{contract.input_range[1]:g}",
        "output": f"{contract.output_name} float32 [?, {contract.dimension}], unit length",
        "precision": contract.precision,
        "SHA-256": contract.graph_sha256,
        **{k.replace("_", " "): v for k, v in contract.provenance.items()},
    }
    title = escape(f"Frozen: {Path(str(job.request.out)).name}")
    after_marks = marks(frozen, job.log.findings)
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head><body><h1>{title}</h1>{_table(facts)}"
        f"<h2>Found and mended</h2>{_findings(job.log.findings)}"
        f"<h2>Proof</h2>{_table({k.replace('_', ' '): v for k, v in contract.proof.items()})}"
        "<h2>Graph</h2><p>What was mended is marked; point at a box to read why. Constants and variables are left out, "
        'large graphs are drawn by scope.</p><div class="pictures">'
        f'<div><h3>as found</h3><div class="picture">{svg(before, marks(before, job.log.findings))}</div></div>'
        f'<div><h3>as frozen</h3><div class="picture">{svg(frozen, after_marks)}</div></div>'
        "</div></body></html>\n"
    )


def _table(rows: dict[str, Any]) -> str:
    cells = (f"<th>{escape(str(k))}</th><td><code>{escape(_short(v))}</code></td>" for k, v in rows.items())
    return f"<table>{''.join(f'<tr>{c}</tr>' for c in cells)}</table>"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _findings(findings: list[Finding]) -> str:
    if not findings:
        return "<p>Nothing: the model was fit to be frozen as it was.</p>"
    rows = "".join(
        f"<tr><td>{MARK[f.kind]}</td><td><code>{escape(f.code)}</code></td><td>{escape(f.why)}"
        + "".join(f"<br><code>{escape(n)}</code>" for n in f.nodes[:20])
        + (f"<br>and {len(f.nodes) - 20} more" if len(f.nodes) > 20 else "")
        + "</td></tr>"
        for f in findings
    )
    return f"<table>{rows}</table>"
