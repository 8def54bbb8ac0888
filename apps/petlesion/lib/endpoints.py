"""MONAI Label's endpoints made safe to share: handlers run in threads, errors are sentences, names are no paths.

MONAI Label 0.8.5 declares every handler `async` and calls blocking code in it, so that one inference stops the whole
server, OHIF's image proxy included (its issue 1487). `install` puts routes with the same paths before its own; they
call the same handlers in threads. Inferences wait for their turn, however many come.
"""

from __future__ import annotations

import contextlib
import errno
import inspect
import json
import logging
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import monailabel.endpoints.ohif
from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, FastAPI, HTTPException, Request
from fastapi.background import BackgroundTasks
from fastapi.responses import FileResponse, Response
from fastapi.routing import APIRoute
from monailabel.config import settings
from monailabel.endpoints import (
    activelearning,
    batch_infer,
    datastore,
    infer,
    info,
    logs,
    model,
    scoring,
    session,
    train,
)
from monailabel.interfaces.exception import MONAILabelException
from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.others.generic import remove_file

from lib.body_sizes import install_body_sizes
from lib.datastore.dicomweb import ArchiveError
from lib.datastore.image_ids import UnknownImageError, UnknownLabelError, is_safe_name
from lib.dicomweb_proxy import DicomWebProxy
from lib.origins import install_origins
from lib.scoring.agreement import scored_method
from lib.scoring.entropy import most_cases
from lib.viewer import file_in
from petlesion.errors import ExitCode, OutputError, PetlesionError

MODULES = (info, model, infer, batch_infer, train, activelearning, scoring, datastore, session, logs)
"""Modules whose handlers block."""
NOT_OFFERED = ("/infer/wsi/{model}", "/infer/wsi_v2/{model}", "/reload")
"""Slides of pathology; and another app in this process, which would keep watch over the same labels as this one."""
NAMES = ("image", "label", "id", "tag", "model", "strategy", "method", "session_id")
"""Arguments that become names of files or keys."""
OBJECTS = ("params", "info")
"""Arguments that are JSON objects, as text."""
NOT_WRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS)
"""Numbers of errors of a disk that is full, or of files of another user, such as root."""
OPTIONS_LENGTH = 100_000
"""Longest options of a training, a scoring or a batch, as JSON: they become one word of a command line (128 KiB)."""
CONCURRENT_INFERENCES = 1
"""Whole-body inferences at a time: each uses all cores, or the GPU, as it is."""
CONCURRENT_CLICKS = 2
"""Clicks at a time; they do not wait for whole bodies."""

logger = logging.getLogger(__name__)
Handler = Callable[..., Coroutine[Any, Any, Any]]


class UnknownModelError(PetlesionError):
    """A request names a model that is not there."""

    exit_code = ExitCode.MODEL


def install(app: FastAPI, studies: str) -> None:
    """Put the routes of this module before those of MONAI Label; once, however often it is called.

    Parameters
    ----------
    app
        The server's.
    studies
        Folder, or URL of a DICOMweb server.
    """
    if getattr(app.state, "petlesion", False):
        return
    app.state.petlesion = True
    install_origins(app)
    install_body_sizes(app)
    inferences, clicks = CapacityLimiter(CONCURRENT_INFERENCES), CapacityLimiter(CONCURRENT_CLICKS)

    def turn(arguments: Mapping[str, Any]) -> CapacityLimiter:
        return clicks if arguments.get("model") == "click" else inferences

    router = APIRouter()
    for module in MODULES:
        for route in module.router.routes:
            if isinstance(route, APIRoute):
                handler = in_thread(route.endpoint, turn if module is infer else None)
                router.add_api_route(route.path, handler, methods=sorted(route.methods or ()), include_in_schema=False)
    proxy = DicomWebProxy(studies)
    for operation in ("wado/", "qido/", "stow/", ""):
        router.add_api_route(
            f"/proxy/dicom/{operation}{{path:path}}",
            partial(_pass_on, proxy, operation),
            methods=["GET", "POST"],
            include_in_schema=False,
            response_model=None,
        )
    for path in NOT_OFFERED:
        router.add_api_route(path, not_offered, methods=["POST"], include_in_schema=False)
    router.add_api_route("/ohif/{path:path}", viewer_file, methods=["GET"], include_in_schema=False)
    before = len(app.router.routes)
    app.include_router(router)
    app.router.routes[:] = [*app.router.routes[before:], *app.router.routes[:before]]


def in_thread(endpoint: Handler, turn: Callable[[Mapping[str, Any]], CapacityLimiter] | None = None) -> Handler:
    """A handler with the signature of `endpoint` that runs it in a thread, and answers its errors with a sentence.

    Parameters
    ----------
    endpoint
        `async`, but without anything to wait for.
    turn
        Whose turn the call has to wait for.
    """

    async def handler(**arguments: Any) -> Any:
        try:
            _check(arguments)
            limiter = None if turn is None else turn(arguments)
            return await to_thread.run_sync(partial(_call, endpoint, arguments), limiter=limiter)
        except Exception as error:
            if "background_tasks" in arguments:
                # FastAPI runs them after an answer alone: the upload of a request that is refused would stay.
                await arguments["background_tasks"]()
            if isinstance(error, HTTPException):
                raise
            raise as_http(error) from error

    handler.__signature__ = inspect.signature(endpoint)  # type: ignore[attr-defined]
    handler.__name__ = endpoint.__name__
    return handler


def as_http(error: Exception) -> HTTPException:
    """The HTTP status of an error, with one sentence; an unexpected one is logged with its traceback."""
    if isinstance(error, (UnknownImageError, UnknownLabelError, UnknownModelError)):
        return HTTPException(404, str(error))
    if isinstance(error, ArchiveError):
        return HTTPException(502, str(error))
    if isinstance(error, OutputError):
        return HTTPException(507, str(error))
    if isinstance(error, PetlesionError):
        return HTTPException(400 if error.exit_code is ExitCode.USAGE else 422, str(error))
    if isinstance(error, MONAILabelException):
        return HTTPException(404 if "There is no" in error.msg else 400, error.msg)
    if isinstance(error, OSError) and error.errno in NOT_WRITTEN:
        where = f" in {error.filename}" if error.filename else ""
        return HTTPException(
            507, f"the disk of the server refuses ({error.strerror}){where}; free space or permissions"
        )
    logger.error("unexpected error", exc_info=error)
    return HTTPException(500, f"unexpected error ({type(error).__name__}); see the log of the server")


def _call(endpoint: Handler, arguments: dict[str, Any]) -> Any:
    """Run a handler of MONAI Label to its end; none of them awaits anything."""
    if endpoint is infer.api_run_inference and arguments["output"] == infer.ResultType.dicom_seg:
        return _segmentation(**arguments)
    coroutine = endpoint(**arguments)
    try:
        coroutine.send(None)
    except StopIteration as done:
        return done.value
    coroutine.close()
    raise RuntimeError(f"{endpoint.__name__} waits for something")


def _segmentation(
    background_tasks: BackgroundTasks, model: str, image: str = "", params: str = "{}", **_: Any
) -> FileResponse:
    """Answer `output=dicom_seg` with the core's SEG; MONAI Label's own names no lesion and needs `label_info`."""
    request = {**json.loads(params or "{}"), "model": model, "image": image, "output": "dicom_seg"}
    path = app_instance().infer(request)["file"]
    background_tasks.add_task(remove_file, path)
    return FileResponse(path, media_type="application/dicom", filename=f"{model}.dcm")


def _check(arguments: Mapping[str, Any]) -> None:
    if arguments.get("uncompress"):
        # Members of an archive may lead out of its folder, and this app is code that training runs.
        raise HTTPException(400, "archives are not unpacked here; send the image as NIfTI or NRRD")
    if "session_id" in arguments and not any(arguments.get(key) for key in ("session_id", "image", "file")):
        raise HTTPException(400, "no image is named; give image=ID, or send a file")
    for key in NAMES:
        value = arguments.get(key)
        if isinstance(value, str) and value and not is_safe_name(value):
            raise HTTPException(404, f"{value[:80]!r} is no name of {key}; names hold no path")
    for key in OBJECTS:
        value = arguments.get(key)
        if isinstance(value, str) and value:
            _check_object(key, value)
        elif isinstance(value, dict):
            _check_task(value)


def _check_task(params: Mapping[str, Any]) -> None:
    """Check what MONAI Label puts into the environment of the process that trains, scores or runs a batch.

    Its deprecated endpoints for all models take options by the name of each.
    """
    if (length := len(json.dumps(params))) > OPTIONS_LENGTH:
        raise HTTPException(400, f"options of {length} characters; send at most {OPTIONS_LENGTH}, such as fewer images")
    for options in (params, *(value for value in params.values() if isinstance(value, dict))):
        if "bundle_path" in options:
            raise HTTPException(400, "bundle_path names code to run, which is taken from no client; leave it out")
        gpus = options.get("gpus", "all")
        if not (isinstance(gpus, str) and gpus.isprintable()):
            raise HTTPException(400, f'gpus is {str(gpus)[:40]!r}; give "all", or numbers as text, such as "0,1"')
        # What is refused in that process, nobody is told.
        scored_method(options)
        most_cases(options)
    _check_text("params", params)


def _check_object(key: str, text: str) -> None:
    try:
        value = json.loads(text, parse_constant=_refuse)
    except ValueError as error:
        raise HTTPException(400, f"{key} is no JSON ({error}); send a JSON object") from error
    if not isinstance(value, dict):
        raise HTTPException(400, f"{key} is JSON, but no object; send one, such as {{}}")
    _check_text(key, value)


def _check_text(key: str, value: Any) -> None:
    """Refuse what is no text in any encoding, and would make of each later answer that quotes it an error."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise HTTPException(400, f"{key} holds half of a character (a lone surrogate); send text") from None


def _refuse(constant: str) -> None:
    """Refuse NaN and Infinity, which Python reads, and which are no JSON (RFC 8259): they could not be kept."""
    raise ValueError(f"{constant} is no number")


async def _pass_on(proxy: DicomWebProxy, operation: str, request: Request, path: str) -> Response:
    """Pass a request of MONAI Label's OHIF on; it asks for metadata by QIDO, where WADO has it."""
    prefixes = {
        "qido/": settings.MONAI_LABEL_WADO_PREFIX if path.endswith("metadata") else settings.MONAI_LABEL_QIDO_PREFIX,
        "wado/": settings.MONAI_LABEL_WADO_PREFIX,
        "stow/": settings.MONAI_LABEL_STOW_PREFIX,
    }
    prefix = prefixes.get(operation)
    return await proxy.pass_on(request, f"{prefix}/{path}" if prefix else path)


async def not_offered() -> None:
    """Refuse what MONAI Label has and this server has not."""
    raise HTTPException(404, "this server does not offer that")


def viewer_file(request: Request, path: str) -> FileResponse:
    """A file of the bundled OHIF; its index page for any other path (MONAI Label finds none in sub-folders).

    The page comes with a cookie that tells OHIF's panel the address of this server; by itself it takes port 8000.
    """
    folder = Path(monailabel.endpoints.ohif.__file__).parent / "static" / "ohif"
    if path:
        with contextlib.suppress(HTTPException):
            return file_in(folder, path)
    page = FileResponse(folder / "index.html", media_type="text/html")
    page.set_cookie("MONAILABEL_SERVER_URL", quote(str(request.base_url), safe=""), samesite="strict")
    return page
