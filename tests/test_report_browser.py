"""The report in headless Chromium, opened from a file as a user opens it."""

from __future__ import annotations

import dataclasses
import importlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from tasks.report_page import write_report
from tests.draw_report import COSTS, REJECTS, drawn_items, store_at, with_previews

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
COPIES = 4


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("needs chromium on PATH (Debian: apt-get install chromium)")
    sync = pytest.importorskip("playwright.sync_api", reason="needs the playwright package (extra dev)")
    driver, _ = importlib.import_module("playwright._impl._driver").compute_driver_executable()
    started = subprocess.run([driver, "--version"], capture_output=True, text=True)
    if started.returncode:
        pytest.skip(f"playwright's node does not start (Debian: apt-get install libatomic1): {started.stderr.strip()}")
    with sync.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of 12 clips, a third of them in review, and five rejects; no other file of the run is left beside it."""
    root = tmp_path_factory.mktemp("page")
    store = store_at(root)
    batch = with_previews(store, drawn_items(store, copies=COPIES, frames=26, size=(120, 200)))
    assert not batch.rejects
    facts = {"preset": "light", "seed": "0"}
    page = write_report(
        root / "out", batch.items, sources=20, rejects=REJECTS, costs=COSTS, title="Drawn <b>clips</b>", facts=facts
    )
    shutil.rmtree(store.root)
    return page.parent


@dataclasses.dataclass
class Opened:
    """A page, and all that it said and asked for."""

    page: Page
    messages: list[str]
    requests: list[str]

    def ids(self) -> list[str]:
        return self.page.eval_on_selector_all(".card", "cards => cards.map(card => card.dataset.key)")


@pytest.fixture
def opened(browser: Browser, folder: Path) -> Iterator[Opened]:
    yield from open_page(browser, folder)


def open_page(browser: Browser, folder: Path, **context: Any) -> Iterator[Opened]:
    context = browser.new_context(**{"viewport": {"width": 1400, "height": 1000}} | context)
    page = context.new_page()
    seen = Opened(page, [], [])
    page.on("console", lambda message: seen.messages.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: seen.messages.append(f"error: {error}"))
    page.on("request", lambda request: seen.requests.append(request.url))
    page.on("requestfailed", lambda request: seen.messages.append(f"failed: {request.url}"))
    page.goto((folder / "index.html").as_uri())
    page.wait_for_selector(".card")
    yield seen
    # Going out of sight cancels a video's loading: that is no failure of the page.
    told = [message for message in seen.messages if not (message.startswith("failed: ") and message.endswith(".mp4"))]
    context.close()
    assert told == [], "the page has nothing to complain of"
    outside = [url for url in seen.requests if not url.startswith(("file://", "data:"))]
    assert outside == [], "the page asks the network for nothing"
    beyond = [url for url in seen.requests if url.startswith("file://") and not url.startswith(folder.as_uri())]
    assert beyond == [], "the page stays in its folder"


HEAD = "window.DUET=window.DUET||{};DUET.clips="


def listed(folder: Path) -> list[dict[str, Any]]:
    """The clips that a report lists."""
    plain: list[dict[str, Any]] = json.loads((folder / "clips.js").read_text().removeprefix(HEAD).rstrip(";\n"))
    return plain


def list_anew(folder: Path, clips: list[dict[str, Any]]) -> None:
    """The same report with other clips listed."""
    (folder / "clips.js").write_text(f"{HEAD}{json.dumps(clips)};\n")


def test_it_renders_what_the_run_found(opened: Opened) -> None:
    page = opened.page
    assert page.title() == "Drawn <b>clips</b> · report"
    assert page.inner_text("h1") == "Drawn <b>clips</b>", "text is text, never markup"
    assert page.eval_on_selector_all(".tile b", "all => all.map(one => one.textContent)") == ["8", "4", "4", "1"]
    review = page.locator("#review")
    assert review.bounding_box()["y"] < page.locator("#funnel").bounding_box()["y"], "the review queue is on top"
    assert "Review queue, 4 clips" in review.inner_text()
    assert "who is who is unsure in 0.19 of the frames > 0.05: at 0.32 s" in review.inner_text()
    funnel = page.inner_text("#funnel")
    for words in ("sources found", "20 people found", "1 person found, at least 2 wanted", "for a person to look at"):
        assert words in funnel
    costs = page.inner_text("#costs")
    assert "segment" in costs
    assert "126.7" in costs, "114 seconds over 900 frames"
    assert page.locator("#charts svg rect").count() >= 6
    assert page.locator("img").count() == 0, "a source named like markup stays a name"


def test_a_video_plays_and_its_timeline_moves(opened: Opened) -> None:
    page = opened.page
    card = page.locator(".card").first
    card.scroll_into_view_if_needed()
    card.locator(".lane.person").first.wait_for()
    card.locator("button.play").click()
    page.wait_for_function("document.querySelector('.card video').currentTime > 0.2")
    facts = card.locator("video").evaluate("v => [v.videoWidth, v.videoHeight, v.error, v.duration, v.paused]")
    assert facts[0] > 0
    assert facts[1] > 0
    assert facts[2] is None
    assert facts[3] == pytest.approx(26 / 25, abs=0.05)
    assert facts[4] is False
    card.locator("button.play").click()
    at = card.locator("video").evaluate("v => v.currentTime")
    head = card.locator(".lane .head").first.evaluate("head => parseFloat(head.style.left)")
    assert head == pytest.approx(100 * at / 1.04, abs=6)
    picture = cv2.imdecode(np.frombuffer(card.locator("video").screenshot(), np.uint8), cv2.IMREAD_COLOR)
    blue, green, red = picture[picture.shape[0] // 2, -12].tolist()
    assert green > 230, "the last panel is the matte on green"
    assert max(red, blue) < 60


def test_only_one_video_plays_at_a_time(opened: Opened) -> None:
    page = opened.page
    for n in (0, 1):
        button = page.locator(".card button.play").nth(n)
        button.scroll_into_view_if_needed()
        button.click()
        page.wait_for_function(f"!document.querySelectorAll('.card video')[{n}].paused")
    page.wait_for_function("document.querySelectorAll('.card video')[0].paused")


def test_media_load_when_they_come_near(opened: Opened) -> None:
    page = opened.page
    page.wait_for_timeout(300)
    first = {url for url in opened.requests if url.endswith((".mp4", "clip.js"))}
    assert page.locator(".card").count() < 12, "cards come as one scrolls"
    assert len({url for url in first if url.endswith(".mp4")}) <= 4
    for _ in range(12):
        page.evaluate("window.scrollBy({top: 1600, behavior: 'instant'})")
        page.wait_for_timeout(120)
    assert page.locator(".card").count() == 12
    page.wait_for_function("document.querySelectorAll('.card')[11].querySelector('.lane.person')")
    assert page.locator(".card video[src]").count() <= 6, "what is far away lets go of its video"
    assert page.locator(".card").first.locator("video[src]").count() == 0
    page.wait_for_selector(".reject")
    assert page.locator(".reject").count() == 5


@pytest.mark.parametrize(
    ("verdict", "cards", "rows"),
    [("accepted", 8, 0), ("review", 4, 0), ("rejected", 0, 4), ("failed", 0, 1), ("all", 12, 5)],
)
def test_filtering_by_verdict(opened: Opened, verdict: str, cards: int, rows: int) -> None:
    page = opened.page
    page.locator(f"#verdicts button[value={verdict}]").click()
    assert page.inner_text("#count").split()[0] == str(cards + rows)
    for _ in range(12):
        page.evaluate("window.scrollBy({top: 1600, behavior: 'instant'})")
        page.wait_for_timeout(80)
    assert page.locator(".card").count() == cards
    assert page.locator(".reject").count() == rows
    if verdict != "all":
        assert set(page.eval_on_selector_all(".card", "all => all.map(one => one.dataset.verdict)")) <= {verdict}


@pytest.mark.parametrize(
    ("words", "cards", "rows"),
    [
        ("trio003", 1, 0),
        ("unsure", 4, 0),
        ("ROBOT", 4, 0),
        ("smaller frame height", 0, 1),
        ("onerror", 0, 1),
        ("nowhere", 0, 0),
    ],
)
def test_searching(opened: Opened, words: str, cards: int, rows: int) -> None:
    page = opened.page
    page.fill("#search", words)
    page.wait_for_function(f"document.querySelector('#count').textContent.startsWith('{cards + rows} ')")
    assert (page.locator(".card").count(), page.locator(".reject").count()) == (cards, rows)


def test_sorting_puts_the_worst_first(opened: Opened) -> None:
    page = opened.page
    page.select_option("#sort", label="Least sure identity")
    assert opened.ids()[0].startswith("cross")
    page.select_option("#sort", label="Most people")
    assert opened.ids()[0].startswith("trio")
    page.select_option("#sort", label="Name")
    assert opened.ids() == sorted(opened.ids())


def test_a_reason_jumps_to_its_second(opened: Opened) -> None:
    page = opened.page
    page.locator("#queue li").nth(2).locator(".reasons .jump").click()
    key = page.locator("#queue li").nth(2).locator(".name").inner_text()
    page.wait_for_function(f"document.getElementById('clip-{key}').querySelector('video').currentTime === 0.32")
    top = page.locator(f"#clip-{key}").bounding_box()["y"]
    page.wait_for_function(f"Math.abs(document.getElementById('clip-{key}').getBoundingClientRect().top) < 200")
    assert "0.32 /" in page.locator(f"#clip-{key} output").inner_text(), top


def test_a_clip_out_of_sight_comes_back_where_it_was(opened: Opened) -> None:
    page = opened.page
    page.locator("#queue .reasons .jump").first.click()
    key = page.locator("#queue .name").first.inner_text()
    video = f"document.getElementById('clip-{key}').querySelector('video')"
    page.wait_for_function(f"{video}.currentTime === 0.32")
    for _ in range(12):
        page.evaluate("window.scrollBy({top: 1600, behavior: 'instant'})")
        page.wait_for_timeout(80)
    page.wait_for_function(f"!{video}.hasAttribute('src')")
    page.locator(f"#clip-{key}").scroll_into_view_if_needed()
    page.wait_for_function(f"{video}.readyState >= 1 && {video}.currentTime === 0.32")


def test_a_click_on_the_timeline_seeks_and_events_tell(opened: Opened) -> None:
    page = opened.page
    card = page.locator(".card").first
    lane = card.locator(".lane.person").first
    lane.wait_for()
    lane.scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('.card video').readyState >= 1")
    box = lane.bounding_box()
    lane.click(position={"x": box["width"] / 2, "y": box["height"] / 2})
    page.wait_for_function("Math.abs(document.querySelector('.card video').currentTime - 0.52) < 0.03")
    marks = card.locator(".mark")
    assert marks.evaluate_all("all => all.map(one => one.title.split(',')[0])") == [
        "crossing of 1 and 2", "doubt of 1 and 2", "repair of 2"
    ]  # fmt: skip
    assert "margin 0.08" in marks.nth(1).get_attribute("title")
    marks.nth(2).click()
    page.wait_for_function("Math.abs(document.querySelector('.card video').currentTime - 0.52) < 0.01")
    lane.hover(position={"x": 5, "y": 5})
    assert lane.get_attribute("title").endswith("100 % visible, confidence 1.00")


def test_a_doubt_is_seen_through_a_longer_event(browser: Browser, folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "report"
    shutil.copytree(folder, copy)
    clip = next(clip for clip in listed(copy) if clip["verdict"] == "review")
    script = copy / clip["folder"] / "clip.js"
    detail = json.loads(script.read_text().removeprefix("DUET.loaded(").rstrip(");\n"))
    whole = {"kind": "repair", "start": 0, "stop": clip["seconds"], "people": [], "note": "left out"}
    detail["timeline"]["events"].append(whole)
    script.write_text(f"DUET.loaded({json.dumps(detail)});\n")
    for seen in open_page(browser, copy):
        card = seen.page.locator(f"#clip-{clip['key']}")
        doubt = card.locator(".mark.doubt-event")
        doubt.wait_for()
        doubt.click()
        time = "document.querySelector('.card.review video').currentTime"
        seen.page.wait_for_function(f"{time} > 0.3 && {time} < 0.4")


def test_frame_by_frame(opened: Opened) -> None:
    page = opened.page
    card = page.locator(".card").first
    card.scroll_into_view_if_needed()
    page.wait_for_function(
        "document.querySelector('.card video').readyState >= 2 && document.querySelector('.card .lane')"
    )
    card.locator("button[title='One frame on']").click()
    page.wait_for_function("Math.abs(document.querySelector('.card video').currentTime - 1.1 / 25) < 0.005")
    card.locator("button[title='One frame on']").click()
    page.wait_for_function("Math.abs(document.querySelector('.card video').currentTime - 2.1 / 25) < 0.005")
    card.locator("button[title='One frame back']").click()
    page.wait_for_function("Math.abs(document.querySelector('.card video').currentTime - 1.1 / 25) < 0.005")


def test_commands_to_copy_beside_each_clip(browser: Browser, folder: Path, tmp_path: Path) -> None:
    """As of footage, moved to a folder whose name a shell would take apart."""
    moved = tmp_path / "my out's" / "report"
    shutil.copytree(folder, moved)
    list_anew(moved, [clip | {"exact": False, "said": ["kind 2 robot"]} for clip in listed(moved)])
    out = str(moved.parent).replace("'", "'\\''")
    for seen in open_page(browser, moved, permissions=["clipboard-read", "clipboard-write"]):
        card = seen.page.locator(".card.review").first
        card.scroll_into_view_if_needed()
        key = card.get_attribute("data-key")
        command = f"python -m flows.review '{out}'"
        assert card.locator(".say:not(.seldom) code").all_inner_texts() == [
            f"{command} accept {key}",
            f"{command} reject {key}",
            f"{command} swap {key} 1 2 --from 12",
            f"{command} swap {key} 1 2 --from 1",
        ]
        seen.page.wait_for_function("document.querySelector('.card.review video').readyState >= 1")
        card.locator(".reasons .jump").first.click()
        seen.page.wait_for_function("document.querySelector('.card.review video').currentTime === 0.32")
        seen.page.wait_for_function(
            "document.querySelector('.card.review .saying:last-child code').textContent.endsWith('--from 8')"
        )
        card.locator(".copy").first.click()
        assert seen.page.evaluate("navigator.clipboard.readText()") == f"{command} accept {key}"
        assert card.locator(".copy").first.inner_text() == "Copied"
        accepted = seen.page.locator(".card.accepted").first
        assert not accepted.locator(".say").first.is_visible()
        accepted.locator("summary").click()
        assert accepted.locator(".say").first.is_visible()
        key = accepted.get_attribute("data-key")
        told = accepted.locator(".say.seldom .saying").all()
        assert [(one.locator("span").inner_text(), one.locator("code").inner_text()) for one in told] == [
            ("1 is not one of the people", f"{command} drop {key} 1"),
            ("1 is a robot", f"{command} kind {key} 1 robot"),
            ("2 is not one of the people", f"{command} drop {key} 2"),
            ("2 is a human", f"{command} kind {key} 2 human"),
            ("take back what was said last", f"{command} undo {key}"),
        ]


A_OR_B = "two exchanged from the frame shown: write their numbers for A and B"


@pytest.mark.parametrize(
    ("places", "says"),
    [
        pytest.param([], [(A_OR_B, "A B --from 1")], id="nothing is known of who"),
        pytest.param([((), 5), ((2,), 9)], [(A_OR_B, "A B --from 1")], id="a stranger, and one with nobody near"),
        pytest.param(
            [((2, 3), 7), ((2, 3), 0)],
            [
                ("2 and 3 exchanged in doubt", "2 3 --from 7"),
                ("2 and 3 exchanged in doubt", "2 3 --from 1"),
                ("2 and 3 exchanged from the frame shown", "2 3 --from 1"),
            ],
            id="one pair is doubted",
        ),
        pytest.param(
            [((2, 3), 7), ((1, 3), 12)],
            [
                ("2 and 3 exchanged in doubt", "2 3 --from 7"),
                ("1 and 3 exchanged in doubt", "1 3 --from 12"),
                (A_OR_B, "A B --from 1"),
            ],
            id="two pairs are doubted",
        ),
    ],
)
def test_of_three_the_two_that_are_doubted_are_offered(
    browser: Browser,
    folder: Path,
    tmp_path: Path,
    places: list[tuple[tuple[int, ...], int]],
    says: list[tuple[str, str]],
) -> None:
    copy = tmp_path / "out" / "report"
    shutil.copytree(folder, copy)
    trio = next(clip for clip in listed(copy) if len(clip["people"]) == 3)
    told = [{"people": who, "frame": frame} for who, frame in places]
    list_anew(copy, [trio | {"exact": False, "verdict": "review", "places": told}])
    for seen in open_page(browser, copy):
        lines = seen.page.locator(".card .say:not(.seldom) .saying").all()
        swaps = [(one.locator("span").inner_text(), one.locator("code").inner_text()) for one in lines[2:]]
        command = f"python -m flows.review {copy.parent} swap {trio['key']} "
        assert swaps == [(about, command + words) for about, words in says]


def test_people_that_are_known_exactly_cannot_be_exchanged(opened: Opened) -> None:
    texts = opened.page.locator(".card.review").first.locator(".saying code").all_inner_texts()
    assert [text.split()[-2] for text in texts] == ["accept", "reject"], "nor dropped, nor called robots"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_screen_has_no_sideways_scroll(browser: Browser, folder: Path, scheme: str) -> None:
    for seen in open_page(browser, folder, viewport={"width": 390, "height": 844}, color_scheme=scheme):
        wide = seen.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert wide <= 0
        paper = seen.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(18, 19, 23)") == (scheme == "dark")


def test_of_thousands_of_clips_a_page_shows_few(browser: Browser, folder: Path, tmp_path: Path) -> None:
    large = tmp_path / "report"
    shutil.copytree(folder, large)
    many = [clip | {"key": f"{clip['key']}-{n}"} for n in range(450) for clip in listed(large)]
    list_anew(large, many)
    for seen in open_page(browser, large):
        assert len(many) == 5400
        assert seen.page.locator(".card").count() <= 20
        seen.page.fill("#search", "trio003-00000000-00000000-299")
        seen.page.wait_for_function("document.querySelectorAll('.card').length === 1")
