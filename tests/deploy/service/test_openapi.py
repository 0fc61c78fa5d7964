"""Requests made up from the service's own OpenAPI, right and wrong: answers are as it says, none a 5xx."""

import pytest

pytest.importorskip("fastapi", reason="the extra 'serve' is not installed")
pytest.importorskip("schemathesis", reason="schemathesis is not installed")

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.core.failures import FailureGroup
from schemathesis.generation import GenerationMode

from apical.config import ServeSettings
from apical.deploy.answers import Answer, records
from apical.deploy.service.access import Token
from apical.deploy.service.app import Parts, make_app
from apical.deploy.service.metrics import Metrics
from apical.deploy.service.queue import Queue
from apical.deploy.service.spool import Spool

OPERATIONS = [
    ("POST", "/v1/jobs"),
    ("GET", "/v1/jobs/{job}"),
    ("DELETE", "/v1/jobs/{job}"),
    ("GET", "/v1/items/{item}"),
    ("GET", "/v1/items/{item}/cine"),
    ("GET", "/v1/model"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/metrics"),
    ("POST", "/v1/notify"),
]
made_up = settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
OURS = {"Host": "127.0.0.1"}  # other names are refused where no token is needed
MODES = st.sampled_from([GenerationMode.POSITIVE, GenerationMode.NEGATIVE])


class Site:
    """An app with jobs that wait, run and are done; nobody answers more of them."""

    def __init__(self, folder):
        # one client sends all, as fast as it can
        self.settings = ServeSettings(requests_per_second=1e6, burst=10**6, waiting_items=10**6)
        self.spool = Spool(folder)
        self.queue = Queue(folder / "queue.sqlite", self.settings.waiting_items, self.spool.remove)
        self.jobs = [self.queue.accept("http", [self.file(), self.file()]) for _ in range(3)]
        for _ in range(2):
            item = self.queue.claim()
            self.queue.finish(
                item, records([Answer(item.number, "", view="A4C")])[0], evidence={"frames": []}
            )
            self.spool.keep_preview(item.item, b"RIFF")
        self.queue.claim()
        self.items = [one.item for job in self.jobs for one in self.queue.items(job)]
        self.noticed = []
        self.schema = schemathesis.openapi.from_asgi("/openapi.json", self.app(), headers=OURS)

    def app(self):
        metrics = Metrics(self.queue, self.spool)
        parts = Parts(
            self.queue, self.spool, metrics, Token(None), lambda: True, lambda: True, {"version": "v"},
            self.noticed.append,
        )  # fmt: skip
        return make_app(parts, self.settings)

    def file(self):
        return self.spool.receive([b"a file"], 100)

    def ask(self, method, path, data):
        """Make up a request, and send it as it is and about each job or item that is there: the statuses."""
        case = data.draw(self.schema[path][method].as_strategy(data.draw(MODES)))
        statuses = {self.send(case)}
        for name, known in {"job": self.jobs, "item": self.items}.items():
            for one in known if name in (case.path_parameters or {}) else ():
                case.path_parameters[name] = one
                statuses.add(self.send(case))
        return statuses

    def send(self, case):
        response = case.call(headers=OURS)
        case.validate_response(response)
        return response.status_code


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path / "state")
    yield made
    made.queue.close()


def test_every_operation_is_asked(site):
    found = [one.ok() for one in site.schema.get_all_operations()]
    assert sorted((one.method.upper(), one.path) for one in found) == sorted(OPERATIONS)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_answers_are_as_the_schema_says_and_none_is_a_fault(site, method, path):
    met = set()

    @made_up
    @given(st.data())
    def asked(data):
        met.update(site.ask(method, path, data))

    asked()
    assert met & {200, 202, 204}
    assert "{" not in path or met & {404, 422}


def test_a_fault_is_found(site, monkeypatch):
    monkeypatch.setattr(site.queue, "answers", lambda job: 1 / 0)

    @made_up
    @given(st.data())
    def asked(data):
        site.ask("GET", "/v1/jobs/{job}", data)

    with pytest.raises((FailureGroup, ZeroDivisionError)):
        asked()


def test_an_answer_that_is_not_as_the_schema_says_is_found(site, monkeypatch):
    monkeypatch.setattr(site.queue, "answers", lambda job: ["no record"])

    @made_up
    @given(st.data())
    def asked(data):
        site.ask("GET", "/v1/jobs/{job}", data)

    with pytest.raises((FailureGroup, ValueError)):
        asked()
