"""What a job writes: files of rows, each whole or not there at all, by which it resumes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any
from uuid import uuid4

import pyarrow as pa
from pyarrow import ArrowException, fs
from pyarrow import parquet as pq

from training.batch_inference.files import locate, normal
from training.common.errors import UserError

JOB = "_job.json"  # readers of folders leave out what begins with _ or .
CAPTION = [
    pa.field("caption", pa.string()),
    pa.field("log_probability", pa.float64()),
    pa.field("confidence", pa.float64()),
    pa.field("trust", pa.string()),
]
SCHEMA = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        *CAPTION,
        pa.field("alternatives", pa.list_(pa.struct(CAPTION))),
        pa.field("tags", pa.list_(pa.struct({"word": pa.string(), "probability": pa.float64()}))),
        pa.field("error_type", pa.string()),
        pa.field("error", pa.string()),
    ]
)


class Partitions:
    """The files of a job in its folder, local or not."""

    def __init__(self, place: str, form: str) -> None:
        self._place = normal(place)
        self._system, self._path = locate(self._place)
        self._form = form

    def begin(self, job: dict[str, Any]) -> set[str]:
        """Make the folder, or go on in it; returns the pictures that have their row.

        Args:
            job: what all rows have in common, such as the model; JSON.

        Raises:
            UserError: the folder has rows of another job, a damaged file, or cannot be written.
        """
        try:
            self._system.create_dir(self._path, recursive=True)
            there = self._system.get_file_info(fs.FileSelector(self._path))
            files = {file.base_name: file.path for file in there}
            if JOB not in files:
                self._put(JOB, json.dumps(job, indent=1).encode())
            elif (before := json.loads(self._get(files[JOB]))) != job:
                other = sorted(
                    name for name in {*job, *before} if job.get(name) != before.get(name)
                )
                raise UserError(
                    f"{self._place} was begun with another {', '.join(other)}. Give the same "
                    "options to go on there, or another folder."
                )
            for name, path in files.items():
                if name.startswith(".part-"):  # whoever wrote it was killed
                    self._system.delete_file(path)
        except OSError as error:
            raise UserError(f"{self._place} cannot be written: {error}.") from error
        return {
            picture
            for name, path in files.items()
            if name.startswith("part-")
            for picture in self._pictures(path)
        }

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write one file of rows.

        Its name follows from its pictures, so that one written twice, as after the loss of a
        machine that had just finished it, is there once.
        """
        digest = sha256("\n".join(row["path"] for row in rows).encode()).hexdigest()
        if self._form == "parquet":
            sink = pa.BufferOutputStream()
            pq.write_table(pa.Table.from_pylist([*rows], SCHEMA), sink, compression="zstd")
            data = sink.getvalue().to_pybytes()
        else:
            lines = (json.dumps(row, ensure_ascii=False) for row in rows)
            data = "".join(f"{line}\n" for line in lines).encode()
        self._put(f"part-{digest[:20]}.{self._form}", data)

    def _put(self, name: str, data: bytes) -> None:
        """Write a file under a name that nobody reads, then give it its own."""
        hidden = f"{self._path}/.{name}-{uuid4().hex[:8]}"
        with self._system.open_output_stream(hidden) as out:
            out.write(data)
        self._system.move(hidden, f"{self._path}/{name}")

    def _get(self, path: str) -> bytes:
        with self._system.open_input_file(path) as file:
            return bytes(file.read())

    def _pictures(self, path: str) -> Iterable[str]:
        """The pictures of a file that is there."""
        try:
            if path.endswith(".jsonl"):
                return [json.loads(line)["path"] for line in self._get(path).splitlines()]
            with self._system.open_input_file(path) as file:
                return list(pq.read_table(file, columns=["path"])["path"].to_pylist())
        except (ArrowException, OSError, ValueError, KeyError) as error:
            raise UserError(
                f"{path} is damaged: {error}. Delete it, and its pictures are captioned again."
            ) from error
