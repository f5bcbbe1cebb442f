"""The web application: routes and error answers put together. Opens nothing."""

from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version

from fastapi import APIRouter, FastAPI

from hub.api import problems
from hub.api.routes import health, incidents, ngsi_ld, persons, things
from hub.console.routes import router as console
from hub.feed import Feed
from hub.settings import Settings
from hub.store.store import Store

API_PREFIX = "/api/v1"


def create_app(store: Store, feed: Feed, settings: Settings, now: Callable[[], datetime]) -> FastAPI:
    """The application over an open `store`; `app.state` hands store, feed, settings and clock to the routes."""
    # FastAPI's own documentation pages load their scripts from a CDN; the description itself is served.
    app = FastAPI(title="Kanmon hub", version=version("kanmon"), docs_url=None, redoc_url=None)
    app.state.store = store
    app.state.feed = feed
    app.state.settings = settings
    app.state.now = now
    problems.install(app)
    api = APIRouter(prefix=API_PREFIX, responses={422: {"model": problems.Problem}, 403: {"model": problems.Problem}})
    for routes in (health, things, persons, incidents):
        api.include_router(routes.router)
    app.include_router(api)
    app.include_router(ngsi_ld.router)
    ngsi_ld.install(app)
    app.include_router(console)
    return app
