"""A server with a stand-in for its network: ``python fake_server.py STATE LOG SETTINGS_AS_JSON``."""

import functools
import json
import sys
from pathlib import Path

from fake_answerers import document, open_fake

from apical.config import ServeSettings
from apical.deploy.service.serve import serve
from apical.errors import ApicalError

if __name__ == "__main__":
    state, log, values = sys.argv[1:]
    try:
        serve(
            Path("no bundle"),
            Path(state),
            ServeSettings(**json.loads(values)),
            document=document,
            opener=functools.partial(open_fake, log),
        )
    except ApicalError as error:
        sys.exit(str(error))
