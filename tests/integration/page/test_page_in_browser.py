"""The page in Chromium: what it writes, what it asks for, and that people can use it.

    PAGE_CASES=3000 pytest tests/integration/page/test_page_in_browser.py

A screenshot of each width and scheme is written below $PAGE_PICTURES, if it is set, for people to look at.
"""

from __future__ import annotations

import gzip
import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings

from bakery.commands import userdata
from bakery.page import folder, library, runtime
from bakery.page.preset import Preset
from bakery.runtime.conditions import wait_until
from bakery.store.store import default_root
from bakery.tokens import signing
from provisioner.process import scrub
from tests.conftest import Folders
from tests.integration.page import browser_here
from tests.integration.page.forms import EMPTY, Case, cases
from tests.integration.tool_environments import install_npm

CASES = int(os.environ.get("PAGE_CASES", "300"))
READY = 120_000  # milliseconds, on a busy machine
WIDTHS = (1400, 820, 390, 320)
CANARY = signing.mint(
    bytes(64),
    "POOL",
    issuer="flock.opensciencegrid.org",
    subject="worker@example",
    scopes=["ADVERTISE_STARTD", "ADVERTISE_MASTER", "READ"],
    lifetime=90 * 86400,
)
FOREIGN = signing.mint(
    bytes(64),
    "POOL",
    issuer="cm.example.edu",
    subject="w@cloud",
    scopes=["ADVERTISE_STARTD", "ADVERTISE_MASTER"],
    lifetime=86400 * 9,
)
EXPIRED = signing.mint(
    bytes(64),
    "POOL",
    issuer="flock.opensciencegrid.org",
    subject="w@cloud",
    scopes=[],
    lifetime=1,
    now=10**9,
)
# The page parses Python's answers and nothing else.
ANSWERED = "const parse = JSON.parse; JSON.parse = (text) => (window.answered = parse(text));"
# The elements that the page makes for texts; any other one would come from a value.
FILL = """
(forms) => {
  const own = new Set(["P", "LI", "DT", "DD", "B"]);
  const at = (id) => document.getElementById(id);
  return forms.map((form) => {
    for (const [name, value] of Object.entries(form)) {
      if (name === "jobs") document.querySelector(`input[name=jobs][value=${value}]`).checked = true;
      else at(name).value = value;
    }
    at("form").dispatchEvent(new Event("change"));
    const notes = [...document.querySelectorAll(".note")].filter((one) => one.offsetParent);
    return {
      text: at("made").hidden ? null : at("user-data").textContent,
      command: window.answered.command ?? "",
      shown: notes.map((one) => one.textContent),
      state: at("state").textContent,
      markup: [...document.querySelectorAll("*")].filter((one) => !own.has(one.tagName)).length,
    };
  });
}
"""
IMAGE = """(name) => new Promise((resolve) => {
  const image = new Image();
  image.onload = image.onerror = (event) => resolve(event.type);
  image.src = name;
})"""


@pytest.fixture(scope="module")
def pyodide() -> Mapping[str, bytes]:
    install_npm()
    cache = default_root() / "pyodide"
    found = runtime.files(runtime.package(None, cache))
    return {**found, runtime.LIBRARY: library.compiled(found, cache)}


@pytest.fixture(scope="module")
def files(pyodide: Mapping[str, bytes]) -> Mapping[str, bytes]:
    return folder.files(pyodide, Preset())


@pytest.fixture(scope="module")
def address(files: Mapping[str, bytes]) -> Iterator[str]:
    with browser_here.serving(files) as url:
        yield url


@pytest.fixture(scope="module")
def browser(folders: Folders) -> Iterator[Any]:
    with browser_here.browser(folders("chromium")) as launched:
        yield launched


class Recorder:
    """What a page asked for and complained about."""

    def __init__(self, page: Any) -> None:
        self.urls: list[str] = []
        self.problems: list[str] = []
        page.on("request", lambda request: self.urls.append(request.url))
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("dialog", lambda dialog: self.problems.append(f"dialog {dialog.message}"))
        page.on("console", self._console)

    def _console(self, message: Any) -> None:
        if message.type == "error":
            self.problems.append(message.text)


@contextmanager
def opened(browser: Any, address: str, **context: Any) -> Iterator[tuple[Any, Recorder]]:
    """Yield a page that has loaded, in a new profile, and the record of its requests."""
    fresh = browser.new_context(**context)
    try:
        page = fresh.new_page()
        page.add_init_script(ANSWERED)
        recorder = Recorder(page)
        page.goto(address)
        page.wait_for_selector("body[data-ready]", timeout=READY)
        yield page, recorder
        assert recorder.problems == []
    finally:
        fresh.close()


@pytest.fixture
def signals() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


# --- the same text as the command ----------------------------------------------------------------


def drawn() -> list[Case]:
    found: list[Case] = []

    @seed(19)
    @settings(
        max_examples=CASES,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(cases([*[CANARY] * 12, FOREIGN, EXPIRED, "", "aaabbb..."]))
    def collect(case: Case) -> None:
        found.append(case)

    collect()
    return found


def of_command(case: Case, token_file: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """Return the exit code, the user-data and the error of gen-userdata."""
    token_file.write_text(case.form["token"], "utf-8")
    token_file.chmod(0o600)
    scrub._known.clear()  # a process of its own would know no token of an earlier case
    code = userdata.main([f"--token-file={token_file}", *case.argv])
    printed = capsys.readouterr()
    error = f"\n{printed.err}".partition("\nerror: ")[2].removesuffix("\n") if code else ""
    return code, printed.out, error


@pytest.mark.usefixtures("signals")
def test_the_text_and_the_errors_are_those_of_the_command(
    browser: Any, address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = drawn()
    with opened(browser, address) as (page, _):
        show_token(page)
        plain = fill(page, [EMPTY])[0]["markup"]
        answers = fill(page, [case.form for case in found])
    kinds = {"made": 0, "refused": 0, "not checked": 0}
    for case, answer in zip(found, answers, strict=True):
        code, text, error = of_command(case, tmp_path / "token", capsys)
        shown = (answer["text"] or "", answer["command"])
        if "is not a valid ClassAd expression" in error and said_not_checked(answer):
            kinds["not checked"] += 1  # and the page says so
            continue
        assert shown == (text, error), case.argv
        assert answer["markup"] == plain, case.form
        assert (answer["text"] is None) == bool(code)
        kinds["refused" if code else "made"] += 1
        if code:  # the reason can be seen
            assert answer["shown"] or answer["state"].startswith("Still missing"), case.form
    assert min(kinds["made"], kinds["refused"]) > CASES // 10, kinds
    assert kinds["not checked"] <= CASES // 100, kinds


def said_not_checked(answer: Mapping[str, Any]) -> bool:
    return any("was not checked by HTCondor" in one for one in answer["shown"])


def show_token(page: Any) -> None:
    page.evaluate("document.getElementById('show-token').checked = true")


def fill(page: Any, forms: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Fill in the form once for each; return what the page shows then."""
    answers: list[dict[str, Any]] = page.evaluate(FILL, [dict(form) for form in forms])
    return answers


# --- what a person does --------------------------------------------------------------------------


def test_the_whole_way_by_keyboard_alone(browser: Any, address: str) -> None:
    permissions = ["clipboard-read", "clipboard-write"]
    with opened(browser, address, permissions=permissions) as (page, _):
        tab_to(page, "tab-write")
        tab_to(page, "token")
        page.keyboard.type(CANARY)
        tab_to(page, "projects")
        page.keyboard.type("TG-ABC123")
        tab_to(page, "group_name")
        page.keyboard.type("My Test Workers")
        tab_to(page, "place")
        page.keyboard.type("Amazon")
        tab_to(page, "max_hours")
        page.keyboard.type("48")
        tab_to(page, "copy")
        page.keyboard.press("Enter")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert f"Token = {CANARY}\n" in copied and 'Start = TARGET.ProjectName == "TG-ABC123"\n' in copied
        assert CANARY not in page.inner_text("#user-data")
        assert "16,384 bytes that EC2" in page.inner_text("#size")
        assert "User data" in page.inner_text("#steps")
        with page.expect_download() as download:
            tab_to(page, "download")
            page.keyboard.press("Enter")
        assert Path(download.value.path()).read_text() == copied
        assert download.value.suggested_filename == "user-data"  # the name in the command of OpenStack
        check_by_keyboard(page, copied)


def check_by_keyboard(page: Any, text: str) -> None:
    page.keyboard.press("Home")
    for _ in range(60):
        page.keyboard.press("Shift+Tab")
        if focused(page) == "tab-write":
            break
    page.keyboard.press("ArrowRight")
    assert focused(page) == "tab-check"
    tab_to(page, "check-text")
    page.keyboard.insert_text(text)
    tab_to(page, "check")
    page.keyboard.press("Enter")
    assert page.inner_text("#check-state").startswith("No errors and no warnings")
    page.fill("#check-text", text.replace("<<'EOF'", "<<EOF").replace("umask 077\n", ""))
    page.click("#check")
    assert "readable by every job" in page.inner_text("#check-findings")


def focused(page: Any) -> str:
    return str(page.evaluate("document.activeElement.id"))


def tab_to(page: Any, wanted: str) -> None:
    """Press Tab until the element has the focus; each stop must be visible."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if focused(page) == wanted:
            return
    raise AssertionError(f"{wanted} cannot be reached")


def test_a_token_is_explained_at_once_and_shown_as_dots(browser: Any, address: str) -> None:
    with opened(browser, address) as (page, _):
        page.fill("#token", CANARY)
        page.wait_for_selector("#token-says:not([hidden])")
        said = page.inner_text("#token-says")
        assert "The OSPool (flock.opensciencegrid.org)" in said and "in 89 days" in said
        assert "may join the pool (ADVERTISE_STARTD)" in said
        assert page.get_attribute("#token", "type") == "password"
        page.fill("#token", EXPIRED)
        page.fill("#projects", "TG-ABC123")
        page.wait_for_selector("#token-notes .error")
        assert "expired on" in page.inner_text("#token-notes")
        page.set_input_files(
            "#token-file", {"name": "t", "mimeType": "", "buffer": f"# x\n{CANARY}\n".encode()}
        )
        page.wait_for_selector("#state.ready")


def test_a_problem_can_be_seen_and_reached_wherever_it_is(browser: Any, address: str) -> None:
    with opened(browser, address) as (page, _):
        page.fill("#token", CANARY)
        page.fill("#projects", "TG-ABC123")
        page.click("details.more summary")
        page.fill("#join_minutes", "x")
        page.click("details.more summary")
        page.wait_for_selector("#state.wrong")
        page.evaluate("document.querySelector('details.more').open = false")
        page.click("#go")
        assert focused(page) == "join_minutes" and page.is_visible("#join_minutes-notes .error")
        page.fill("#join_minutes", "")
        page.select_option("#pool", "other")
        page.fill("#pool_host", CANARY)
        page.wait_for_selector("#pool-notes .error")
        assert page.get_attribute("#pool_host", "aria-invalid") == "true"
        assert page.get_attribute("#pool", "aria-invalid") is None
        assert CANARY not in page.content()
        page.fill("#pool_host", "")
        page.wait_for_selector("#state:has-text('the host of the pool')")
        page.select_option("#pool", "")
        page.fill("#expression", " + ".join(["TARGET.A"] * 3000) + " > 1")
        page.wait_for_selector("#expression-notes :text('was not checked by HTCondor')")
        # A bug of the page's own programs: the earlier result must not stay.
        page.evaluate('JSON.stringify = () => \'{"ask": "generate", "form": {}}\'')
        page.fill("#projects", "TG-OTHER")
        page.wait_for_selector("#problems :text('This is a bug of worker-bakery (KeyError)')")
        assert page.is_hidden("#made")


def test_what_is_not_copied_is_not_called_copied(browser: Any, address: str) -> None:
    with opened(browser, address) as (page, _):
        fill(page, [{**EMPTY, "token": CANARY, "projects": "TG-ABC123"}])
        page.evaluate(
            "navigator.clipboard.writeText = () => Promise.reject(); document.execCommand = () => false"
        )
        page.click("#copy")
        page.wait_for_selector("#copied:has-text('did not copy')", state="attached")
        assert page.inner_text("#copy") == "Not copied" and focused(page) == "copy"


def test_a_verdict_is_about_the_text_beside_it(browser: Any, address: str) -> None:
    with opened(browser, address) as (page, _):
        page.click("#tab-check")
        page.fill("#check-text", "#!/bin/bash\n# " + "x" * 20000)
        page.select_option("#check-place", "ec2")
        page.click("#check")
        assert "EC2" in page.inner_text("#check-findings")
        page.select_option("#check-place", "gce")
        assert page.inner_text("#check-state") == "This was not checked yet."
        assert page.inner_text("#check-findings") == ""
        large = {"name": "large", "mimeType": "", "buffer": b"x" * (1024 * 1024 + 1)}
        page.set_input_files("#check-file", large)
        page.wait_for_selector("#check-state:has-text('more than 1 MiB')")


@pytest.mark.parametrize(
    ("name", "answer", "said"),
    [
        ("pyodide.asm.wasm", {"content_type": "application/octet-stream"}, "as application/octet-stream"),
        ("pyodide.asm.wasm", {"status": 404}, "answers 404 for pyodide.asm.wasm"),
        ("pyodide.mjs", {"content_type": "application/octet-stream"}, "not as text/javascript"),
    ],
)
def test_a_server_that_sends_a_file_wrongly(
    browser: Any, address: str, name: str, answer: Mapping[str, Any], said: str
) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.route(f"**/{name}", lambda route: route.fulfill(**{"body": b"", **answer}))
    page.goto(address)
    page.wait_for_selector(f"#loading.error:has-text('{said}')", timeout=READY)
    context.close()


def test_fields_of_another_kind_of_worker(browser: Any, address: str) -> None:
    with opened(browser, address) as (page, _):
        page.click("details.more summary")
        page.select_option("#worker", "prominence")
        assert page.is_hidden("#projects") and page.is_visible("#region")
        assert "“Name of the cloud”, “Region”, “Node group”, “Pool”" in page.inner_text("#state")


# --- what leaves the browser ---------------------------------------------------------------------


def test_no_request_leaves_the_origin_and_none_follows_the_loading(browser: Any, address: str) -> None:
    with opened(browser, address) as (page, recorder):
        assert recorder.urls and all(url.startswith(address) for url in recorder.urls)
        loaded = len(recorder.urls)
        fill(
            page,
            [
                {**EMPTY, "token": CANARY, "projects": "TG-ABC123", "format": name}
                for name in ("mime", "conf")
            ],
        )
        page.click("#copy")
        page.click("#tab-check")
        page.fill("#check-text", "#include https://example.org/x\n")
        page.click("#check")
        refused = page.evaluate("fetch('preset.json').then(() => 'fetched', (error) => error.name)")
        assert refused == "TypeError"  # the page forbids it to itself
        assert recorder.urls[loaded:] == []
        assert page.url == address
        kept = page.evaluate("[localStorage.length, sessionStorage.length, document.cookie, location.href]")
        assert kept == [0, 0, "", address]
        assert page.evaluate("indexedDB.databases().then((found) => found.length)") == 0
        assert page.context.cookies() == []
        # A busy browser loads the icon later than all else.
        assert [page.evaluate(IMAGE, name) for name in ("icon.svg", "other.svg")] == ["load", "error"]
        assert all("Content Security Policy" in one for one in recorder.problems)
        recorder.problems.clear()


def test_nothing_is_kept_on_the_disk_or_for_the_way_back(
    browser: Any, address: str, tmp_path: Path
) -> None:
    with browser_here.kept(browser.browser_type, tmp_path / "profile") as context:
        page = context.new_page()
        page.goto(address)
        page.wait_for_selector("body[data-ready]", timeout=READY)
        page.fill("#group_name", "KeptOrNot")
        page.fill("#token", CANARY)
        page.fill("#projects", "TG-ABC123")
        page.wait_for_selector("#state.ready")
        page.click("#show-token")
        page.click("#tab-check")
        page.fill("#check-text", f"Token = {CANARY}\n")
        page.click("#check")
        session = tmp_path / "profile" / "Default" / "Sessions"
        wait_until("the session was written", lambda: list(contents(session)), mentions(address), 60)
        page.goto("about:blank")
        page.go_back()
        page.wait_for_selector("body[data-ready]", timeout=READY)
        left = page.evaluate("[...document.querySelectorAll('input, textarea')].map((one) => one.value)")
        assert not [one for one in left if CANARY in one or "KeptOrNot" in one]
        assert CANARY not in page.content() and not page.is_checked("#show-token")
        page.goto("about:blank")
    body = CANARY.split(".")[1]
    for data in contents(tmp_path / "profile"):
        assert body.encode() not in data and body.encode("utf-16-le") not in data


def mentions(address: str) -> Callable[[list[bytes]], bool]:
    return lambda found: any(address.encode() in one for one in found)


def contents(folder: Path) -> Iterator[bytes]:
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):
            if path.is_file():
                yield path.read_bytes()


# What a text of a browser cannot hold, or changes.
BYTES = {
    "CRLF": b"#!/bin/bash\r\necho\r\n",
    "CR": b"#!/bin/bash\recho\r",
    "BOM": b"\xef\xbb\xbf#!/bin/bash\necho\n",
    "UTF-16": "#!/bin/bash\necho\n".encode("utf-16"),
    "no UTF-8": b"#!/bin/bash\necho \xff\n",
    "gzip": gzip.compress(b"#!/bin/bash\r\necho\r\n"),
    "NUL": b"#!/bin/bash\necho \0\n",
}


@pytest.mark.usefixtures("signals")
def test_a_file_is_checked_byte_for_byte(
    browser: Any, address: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(browser, address) as (page, _):
        page.click("#tab-check")
        for name, data in BYTES.items():
            (tmp_path / "data").write_bytes(data)
            userdata.main(["--check", str(tmp_path / "data"), "--json"])
            found = json.loads(capsys.readouterr().out)["findings"]
            wanted = {one["message"] for one in found if one["severity"] != "note"}
            page.set_input_files("#check-file", {"name": name, "mimeType": "", "buffer": data})
            page.wait_for_selector(f"#check-file-name:has-text('the file {name} ')")
            shown = page.inner_text("#check-findings")
            assert all(one in shown for one in wanted), name
            assert f"{len(data)} bytes" in page.inner_text("#check-state"), name
            assert wanted or name == "gzip", name
        page.fill("#check-text", "#!/bin/bash\n")
        assert page.inner_text("#check-file-name") == ""


def test_a_site_presets_values_and_hides_fields(browser: Any, pyodide: Mapping[str, bytes]) -> None:
    wanted = Preset(
        title="Workers of <b>Campus</b>",
        pool="cm.example.edu",
        trust_domain="cm.example.edu",
        image="campus worker",
        cloud="openstack",
        hide=(
            *("pool", "trust_domain", "worker", "group_name", "place", "gpu_jobs_only", "join_minutes"),
            "format",
        ),
    )
    with browser_here.serving(folder.files(pyodide, wanted)) as url, opened(browser, url) as (page, _):
        assert page.inner_text("h1") == "Workers of <b>Campus</b>"
        assert page.is_hidden("#pool_host") and page.is_hidden("#trust_domain")
        show_token(page)
        page.fill("#token", FOREIGN)
        page.fill("#projects", "TG-ABC123")
        page.wait_for_selector("#state.ready")
        assert "CentralManager = cm.example.edu\n" in page.inner_text("#user-data") + "\n"
        assert "--image 'campus worker'" in page.inner_text("#place-command")
        page.wait_for_selector("fieldset:has(#max_hours):visible")
        assert page.is_hidden("fieldset:has(#group_name)") and page.is_hidden("details.more")


def test_the_issuer_of_a_preset_is_that_of_its_pool(browser: Any, pyodide: Mapping[str, bytes]) -> None:
    wanted = Preset(pool="cm.example.edu", trust_domain="campus", hide=("trust_domain",))
    with browser_here.serving(folder.files(pyodide, wanted)) as url, opened(browser, url) as (page, _):
        page.fill("#token", FOREIGN)
        page.fill("#projects", "TG-ABC123")
        page.wait_for_selector("#token-notes :text('campus')")  # the issuer that the preset expects
        for pool, host in (("", ""), ("other", "other.example.edu")):
            page.select_option("#pool", pool)
            if host:
                page.fill("#pool_host", host)
                page.dispatch_event("#pool_host", "change")
            assert page.input_value("#trust_domain") == ""
            assert "campus" not in page.inner_text("#token-notes")
        page.fill("#pool_host", "cm.example.edu")
        page.wait_for_selector("#token-notes :text('campus')")


# --- for everybody -------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Any, address: str, scheme: str) -> None:
    with opened(browser, address, color_scheme=scheme, bypass_csp=True) as (page, recorder):
        page.click("details.more summary")
        states = {
            "filled": {**EMPTY, "token": CANARY, "projects": "TG-ABC123", "group_name": "My Test Workers"},
            "warned": {**EMPTY, "token": CANARY, "projects": "abc123456", "expression": "TARGET.Cpu > 1"},
            "wrong": {**EMPTY, "token": CANARY, "projects": "a!", "place": "openstack"},
        }
        page.evaluate(browser_here.axe())
        for name, form in states.items():
            fill(page, [form])
            for width in WIDTHS:
                page.set_viewport_size({"width": width, "height": 900})
                picture(page, f"{name}-{width}-{scheme}")
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (name, width)
                assert violations(page) == [], (name, width)
        page.click("#tab-check")
        page.fill("#check-text", "#!/bin/bash\ncat >/etc/osg-worker.conf <<EOF\nToken = $X\nEOF\n")
        page.click("#check")
        picture(page, f"check-390-{scheme}")
        assert violations(page) == []
        recorder.problems.clear()


def violations(page: Any) -> list[str]:
    found = page.evaluate("axe.run().then((result) => result.violations)")
    return [f"{one['id']}: {json.dumps([node['html'] for node in one['nodes']])}" for one in found]


def picture(page: Any, name: str) -> None:
    if pictures := os.environ.get("PAGE_PICTURES"):
        page.screenshot(path=str(Path(pictures) / f"{name}.png"), full_page=True)


def test_a_file_that_is_opened_directly_says_what_to_do(
    browser: Any, files: Mapping[str, bytes], tmp_path: Path
) -> None:
    folder.write(files, tmp_path / "page")
    page = browser.new_context().new_page()
    page.goto((tmp_path / "page" / "index.html").as_uri())
    assert "worker-bakery page --serve" in page.inner_text("#loading")
    assert page.get_attribute("body", "data-ready") is None
