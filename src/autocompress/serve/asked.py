"""Read the inputs out of a request: files, texts or JSON."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from autocompress.predict.asking import Asked
from autocompress.predict.preparing import Reader

__all__ = ["RequestError", "inputs_of"]

_KINDS = (
    "multipart/form-data with fields file or text, application/json, text/plain, image/* or "
    "application/octet-stream"
)


class RequestError(Exception):
    """A request that cannot be answered.

    Args:
        status: Status of the response.
        reason: Reason in one line.
    """

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


async def inputs_of(request: Any, reader: Reader, most: int) -> list[Asked]:
    """Return the inputs of a request.

    Args:
        request: A request of Starlette whose body has been read.
        reader: Reader of the network, which says whether it takes texts or pictures.
        most: Largest number of inputs.

    Raises:
        RequestError: The body is malformed, of another kind, empty, or holds too many inputs.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        found = await _form(request, reader)
    elif kind == "application/json":
        found = _json(await request.body(), reader)
    elif kind == "text/plain":
        found = _text(_decoded(await request.body()), reader)
    elif kind.startswith("image/") or kind == "application/octet-stream":
        found = _picture(await request.body(), "picture 0", reader)
    else:
        raise RequestError(415, f"content type {kind[:80]!r} is not understood; send {_KINDS}")
    if not found:
        raise RequestError(400, f"the request holds no input; send {_KINDS}")
    if len(found) > most:
        raise RequestError(413, f"the request holds {len(found)} inputs; at most {most} are taken")
    return found


async def _form(request: Any, reader: Reader) -> list[Asked]:
    try:
        form = await request.form()
    except Exception as error:  # Starlette's and the parser's own
        raise RequestError(400, f"the form is malformed: {_line(error)}") from None
    try:
        return [
            one
            for place, (_, value) in enumerate(form.multi_items())
            for one in await _field(value, place, reader)
        ]
    finally:
        await form.close()


async def _field(value: Any, place: int, reader: Reader) -> list[Asked]:
    """Return the inputs in a field of a form: a text, or an uploaded file."""
    if isinstance(value, str):
        return _text(value, reader)
    data = await value.read()
    if not reader.takes_texts:
        return _picture(data, str(value.filename or f"file {place}"), reader)
    return [one for line in _decoded(data).splitlines() for one in _text(line, reader)]


def _json(body: bytes, reader: Reader) -> list[Asked]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"the body is not JSON: {_line(error)}") from None
    wanted = '{"texts": [..]}' if reader.takes_texts else '{"images": [BASE64, ..]}'
    if not isinstance(said, dict):
        raise RequestError(400, f"expected a JSON object, {wanted}")
    key = "texts" if reader.takes_texts else "images"
    values = said.get(key, said.get(key[:-1]))
    if values is None:
        raise RequestError(
            400, f"the object has neither {key!r} nor {key[:-1]!r}; expected {wanted}"
        )
    values = values if isinstance(values, list) else [values]
    if reader.takes_texts:
        pairs = [tuple(v) if isinstance(v, list) else v for v in values]
        return list(reader.find(pairs))
    return [one for n, value in enumerate(values) for one in _encoded(value, n, reader)]


def _encoded(value: Any, number: int, reader: Reader) -> list[Asked]:
    name = f"picture {number}"
    try:
        data = base64.b64decode(str(value).rpartition("base64,")[2], validate=True)
    except (binascii.Error, ValueError):
        return [Asked(name, error=f"{name} is not base64")]
    return _picture(data, name, reader)


def _picture(data: bytes, name: str, reader: Reader) -> list[Asked]:
    if reader.takes_texts:
        raise RequestError(415, "this network takes texts, and the request holds a picture or file")
    if not data:
        return [Asked(name, error=f"{name} is empty: it has 0 bytes")]
    return [Asked(name, {"bytes": data, "path": None})]


def _text(text: str, reader: Reader) -> list[Asked]:
    if not reader.takes_texts:
        raise RequestError(415, "this network takes pictures, and the request holds a text")
    return list(reader.find([text])) if text.strip() else []


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError(400, f"the body is not UTF-8 text: {error}") from None


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
