"""Errors over HTTP as RFC 9457 problem+json."""

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from contract.errors import KanmonError, ProtocolError, Refused

MEDIA_TYPE = "application/problem+json"


class Problem(BaseModel):
    """What went wrong; `errors` names each wrong parameter."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] | None = None


def problem(status: int, detail: str, errors: list[dict[str, str]] | None = None) -> JSONResponse:
    """The answer that tells it."""
    told = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, errors=errors)
    return JSONResponse(told.model_dump(exclude_none=True), status, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make `app` answer every error as a problem."""

    @app.exception_handler(RequestValidationError)
    async def _invalid(_: Request, error: RequestValidationError) -> JSONResponse:
        # Without pydantic's "input": it would repeat what the asker sent.
        wrong = [{"parameter": str(one["loc"][-1]), "message": str(one["msg"])} for one in error.errors()]
        return problem(422, "a parameter is wrong", wrong)

    @app.exception_handler(HTTPException)
    async def _http(_: Request, error: HTTPException) -> JSONResponse:
        answer = problem(error.status_code, str(error.detail))
        answer.headers.update(error.headers or {})
        return answer

    @app.exception_handler(KanmonError)
    async def _kanmon(_: Request, error: KanmonError) -> JSONResponse:
        match error:
            case ProtocolError():
                # A cursor is the only text that reaches the store unparsed.
                return problem(422, "a parameter is wrong", [{"parameter": "cursor", "message": str(error)}])
            case Refused():
                return problem(403, str(error))
            case _:
                return problem(503, "the hub's store cannot answer now")
