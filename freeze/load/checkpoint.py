"""Finds a checkpoint from whatever the user points at, and reads it: V1, V2, partitioned, object-based."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from freeze.errors import FreezeError, Log
from freeze.sniff import LIMIT, sniff
from tracker.core.tensorflow import import_tensorflow

OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
VALUE_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
PART = re.compile(r"/part_(\d+)")
SUFFIX = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")


def prefixes(folder: Path) -> list[str]:
    """Names of the checkpoints that lie in a folder, by step, oldest first."""
    names = {p.name[:-6] for p in folder.glob("*.index")}
    for p in folder.iterdir():
        if p.is_file() and not SUFFIX.search(p.name) and p.stat().st_size > 48:
            with open(p, "rb") as f:
                f.seek(-8, 2)
                if f.read() == b"\x57\xfb\x80\x8b\x24\x75\x47\xdb":
                    names.add(p.name)

    def step(name: str) -> tuple[int, str]:
        digits = re.findall(r"\d+", name)
        return (int(digits[-1]) if digits else -1, name)

    return sorted(names, key=step)


def resolve(path: Path, log: Log) -> Path:
    """The checkpoint's prefix from a prefix, one of its files, its folder, or its `checkpoint` file.

    Raises
    ------
    FreezeError
        CHECKPOINT_NOT_FOUND, CHECKPOINT_NO_DATA, WRONG_FILE.
    """
    path = Path(path)
    if path.is_dir() or path.name == "checkpoint":
        return _latest(path if path.is_dir() else path.parent, log)
    prefix = path.with_name(SUFFIX.sub("", path.name))
    if prefix != path:
        log.note("CHECKPOINT_PATH", f"{path.name} is one file of the checkpoint {prefix.name}: that is used")
    if prefix.with_name(prefix.name + ".index").exists():
        _data_files(prefix)
        return prefix
    if prefix.is_file():
        kind = sniff(prefix)
        if kind.name not in ("checkpoint", "unknown"):
            code = "KERAS_WEIGHTS_ONLY" if kind.name == "keras_weights" else "WRONG_FILE"
            raise FreezeError(
                code,
                f"--checkpoint was given {prefix.name}, which is {kind.text}",
                f"use {kind.option} {prefix}" if kind.option else kind.remedy,
                [str(prefix)],
            )
        return prefix
    raise _not_found(path, prefix)


def _not_found(path: Path, prefix: Path) -> FreezeError:
    data = list(prefix.parent.glob(prefix.name + ".data-*"))
    if data:
        return FreezeError(
            "CHECKPOINT_NO_INDEX",
            f"the checkpoint {prefix.name} has data files and no {prefix.name}.index: "
            "a checkpoint is several files and the index is missing",
            f"copy {prefix.name}.index from the training machine as well",
            [str(p) for p in data],
        )
    there = prefixes(prefix.parent) if prefix.parent.is_dir() else []
    close = [n for n in there if n.startswith(prefix.name)]
    cause = f"no checkpoint {prefix} exists"
    if close:
        cause += f": the name is incomplete, the folder holds {', '.join(close)}"
    remedy = (
        f"give one of: {', '.join(str(prefix.parent / n) for n in (close or there)[:8])}"
        if there
        else f"check the path; {prefix.parent} holds no checkpoint"
    )
    return FreezeError("CHECKPOINT_NOT_FOUND", cause, remedy, [str(path)])


def _latest(folder: Path, log: Log) -> Path:
    there = prefixes(folder)
    if not there:
        raise FreezeError(
            "CHECKPOINT_NOT_FOUND",
            f"the folder {folder} holds no checkpoint",
            "give the folder or the prefix that training wrote (NAME.index and NAME.data-…)",
            [str(folder)],
        )
    chosen, why = there[-1], "the newest there"
    state = folder / "checkpoint"
    if state.exists():
        named = re.search(r'^model_checkpoint_path: "(.*)"', state.read_text(errors="replace"), re.MULTILINE)
        name = Path(named.group(1)).name if named else ""
        if name in there:
            chosen, why = name, "named as the latest by the folder's `checkpoint` file"
        elif name:
            why = f"the newest there; the folder's `checkpoint` file is stale: it names {name}, which does not exist"
    log.note(
        "CHECKPOINT_CHOSEN",
        f"checkpoint {chosen} is used ({why})"
        + (f"; also there: {', '.join(n for n in there if n != chosen)}" if len(there) > 1 else ""),
    )
    _data_files(folder / chosen)
    return folder / chosen


def _data_files(prefix: Path) -> None:
    data = sorted(prefix.parent.glob(prefix.name + ".data-*"))
    for path in data:
        if path.stat().st_size < 1024 and (kind := sniff(path)).name in ("git-lfs", "html", "empty"):
            raise FreezeError(
                "WRONG_FILE", f"the data of checkpoint {prefix.name} is {kind.text}", kind.remedy, [str(path)]
            )
    if not prefix.with_name(prefix.name + ".index").exists():
        return
    shards = {int(m.group(2)) for p in data if (m := re.search(r"data-(\d+)-of-(\d+)$", p.name))}
    if not data or len(data) < max(shards, default=1):
        want = max(shards, default=1)
        raise FreezeError(
            "CHECKPOINT_NO_DATA",
            f"the checkpoint {prefix.name} has its .index, but of its {want} data file(s) "
            f"(.data-00000-of-{want:05d}) {len(data)} lie beside it: data is missing",
            "copy all files of the checkpoint (.index and every .data-…) into one folder",
            [str(prefix)],
        )


@dataclass
class Checkpoint:
    """An open checkpoint: shapes and dtypes by key, values read on demand and checked.

    `aliases` maps a variable's graph name to its key in an object-based checkpoint; `parts` maps the name of a variable
    that was saved in parts, each under a name of its own, to the axis that joins them and their keys.
    """

    prefix: Path
    shapes: dict[str, tuple[int, ...]]
    dtypes: dict[str, Any]
    reader: Any
    aliases: dict[str, str] = field(default_factory=dict)
    parts: dict[str, tuple[int, list[str]]] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, log: Log) -> Checkpoint:
        """Raises FreezeError where it is not there, is damaged, or holds more than a graph may."""
        prefix = resolve(path, log)
        tf = import_tensorflow()
        try:
            reader = tf.train.load_checkpoint(str(prefix))
            shapes = {k: tuple(v) for k, v in reader.get_variable_to_shape_map().items()}
            checkpoint = cls(prefix, shapes, dict(reader.get_variable_to_dtype_map()), reader)
            checkpoint._object_names(log)
        except Exception as e:  # the reader, and the parser of the object graph, turn damage into any kind of error
            raise _damaged(prefix, str(e)) from None
        return checkpoint

    def read(self, key: str) -> np.ndarray:
        """The value of `key`; damaged data and non-finite values are refused."""
        if key in self.parts:
            return np.concatenate([self.read(k) for k in self.parts[key][1]], self.parts[key][0])
        try:
            value = np.asarray(self._tensor(key))
        except Exception as e:  # the reader turns its states into any kind, IndexError for a file that ends too early
            raise _damaged(self.prefix, str(e), key) from None
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            bad = int(value.size - np.isfinite(value).sum())
            kind = "NaN" if np.isnan(value).any() else "infinite"
            raise FreezeError(
                "CHECKPOINT_NOT_FINITE",
                f"{key} holds {kind} values ({bad} of {value.size} are not finite): "
                "training has diverged before this checkpoint was saved",
                "use an earlier checkpoint",
                [key],
            )
        return value

    def _tensor(self, key: str) -> Any:
        """A value; the reader does not put the slices of a V1 checkpoint together, TensorFlow's operation does."""
        tf = import_tensorflow()
        try:
            return self.reader.get_tensor(key)
        except tf.errors.UnimplementedError:
            with tf.Graph().as_default(), tf.compat.v1.Session() as session:
                return session.run(
                    tf.raw_ops.RestoreV2(
                        prefix=str(self.prefix), tensor_names=[key], shape_and_slices=[""], dtypes=[self.dtypes[key]]
                    )[0]
                )

    def join(self, key: str, shape: tuple[int, ...] | None) -> None:
        """Makes `key` of variables saved as `key/part_0`, `key/part_1`, ..., where it is not there itself.

        Raises
        ------
        FreezeError
            CHECKPOINT_GAPS: a part is missing, or the parts do not make up the shape.
        """
        if key in self.shapes:
            return
        found = {int(m.group(1)): k for k in self.shapes if (m := PART.fullmatch(k.removeprefix(key)))}
        if not found or not all(k.startswith(key + "/part_") for k in found.values()):
            return
        keys = [found[n] for n in sorted(found)]
        missing = sorted(set(range(max(found) + 1)) - set(found))
        shapes = [self.shapes[k] for k in keys]
        axes = [a for a in range(len(shapes[0])) if len({s[:a] + s[a + 1 :] for s in shapes}) == 1]
        whole = {a: (*shapes[0][:a], sum(s[a] for s in shapes), *shapes[0][a + 1 :]) for a in axes}
        fitting = [a for a in axes if shape is None or whole[a] == shape]
        if missing or not fitting:
            lost = f": {', '.join(f'{key}/part_{n}' for n in missing)} missing" if missing else ""
            raise gaps(
                self.prefix, key, f"it holds {len(keys)} parts of shapes {', '.join(map(str, shapes))}{lost}", shape
            )
        self.parts[key] = (fitting[0], keys)
        self.shapes[key], self.dtypes[key] = whole[fitting[0]], self.dtypes[keys[0]]

    def parted(self) -> list[str]:
        """Names of variables that are here in parts alone."""
        found = {m.group(1) for k in self.shapes if (m := re.fullmatch(r"(.+)/part_\d+", k))}
        return sorted(found - self.shapes.keys())

    def join_like(self, key: str, scope: str, end: str) -> bool:
        """Makes `SCOPE key END` of its parts as `key` was made of `key`'s; False where they are not all here."""
        axis, parts = self.parts[key]
        like = [f"{scope}{p}{end}" for p in parts]
        if not all(k in self.shapes for k in like):
            return False
        name = f"{scope}{key}{end}"
        self.parts[name], self.shapes[name], self.dtypes[name] = (axis, like), self.shapes[key], self.dtypes[like[0]]
        return True

    def check_size(self, keys: list[str]) -> None:
        """Refuses, before anything is read, what no GraphDef can hold."""
        total = sum(int(np.prod(self.shapes[k], dtype=np.int64)) * self.dtypes[k].size for k in keys)
        if total >= LIMIT - 2**20:
            raise too_large(total, sorted(keys, key=lambda k: -int(np.prod(self.shapes[k], dtype=np.int64)))[:5])

    def _object_names(self, log: Log) -> None:
        """Graph names of an object-based checkpoint (tf.train.Checkpoint), from the object graph stored in it."""
        if OBJECT_GRAPH not in self.shapes:
            return
        from tensorflow.core.protobuf import trackable_object_graph_pb2

        proto = trackable_object_graph_pb2.TrackableObjectGraph()
        proto.ParseFromString(self.reader.get_tensor(OBJECT_GRAPH))
        for node in proto.nodes:
            for attribute in node.attributes:
                name = attribute.full_name or attribute.checkpoint_key.removesuffix(VALUE_SUFFIX)
                if attribute.checkpoint_key in self.shapes:
                    self.aliases.setdefault(name, attribute.checkpoint_key)
        for key in self.shapes:
            if key.endswith(VALUE_SUFFIX):
                self.aliases.setdefault(key.removesuffix(VALUE_SUFFIX), key)
        log.note(
            "CHECKPOINT_OBJECT_BASED",
            f"the checkpoint was written by tf.train.Checkpoint (object-based): {len(self.aliases)} "
            "variables are found by the names stored in its object graph",
        )

    def names(self) -> list[str]:
        """Keys that are variables, without bookkeeping."""
        return sorted(k for k in self.shapes if k != OBJECT_GRAPH and not k.startswith("save_counter"))


def too_large(total: int, places: list[str]) -> FreezeError:
    """The diagnosis of variables that no frozen graph can hold."""
    return FreezeError(
        "TOO_LARGE",
        f"the variables hold {total / 2**30:.2f} GiB; a frozen graph is one protocol buffer and holds "
        "no more than 2 GiB",
        "freeze a smaller network (the embedding only, without the classifier's matrix)",
        places,
    )


def gaps(prefix: Path, key: str, what: str, shape: tuple[int, ...] | None = None) -> FreezeError:
    """The diagnosis of a partitioned variable whose parts do not make it up."""
    whole = f" of the whole {list(shape)}" if shape else ""
    return FreezeError(
        "CHECKPOINT_GAPS",
        f"the checkpoint {prefix.name} does not hold all parts{whole} of the partitioned variable {key}: {what}",
        "save with one saver that is given every part (tf.compat.v1.train.Saver() takes all variables)",
        [key],
    )


def _damaged(prefix: Path, text: str, key: str | None = None) -> FreezeError:
    if "sufficient slices" in text and key is not None:
        return gaps(prefix, key, "some of its slices were not saved")
    text = next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")[:300]
    low = text.lower()
    where = f" at variable {key}" if key else ""
    again = "copy or download the checkpoint's files again, all from one save"
    if "checksum" in low or "corrupt" in low or ("data loss" in low and "magic" not in low):
        cause = f"the checkpoint {prefix.name} is damaged (corrupt: wrong checksum{where}): {text}"
    elif "out of range" in low or "truncat" in low or "eof" in low or "read less" in low or "magic" in low:
        cause = f"the checkpoint {prefix.name} is truncated or corrupt (a file ends too early{where}): {text}"
    elif "no such file" in low or "not found" in low:
        cause = f"a file of the checkpoint {prefix.name} is missing{where}: {text}"
    else:
        cause = f"the checkpoint {prefix.name} cannot be read{where}: {text}"
    return FreezeError("CHECKPOINT_DAMAGED", cause, again, [str(prefix)] + ([key] if key else []))
