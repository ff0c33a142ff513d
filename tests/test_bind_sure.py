"""How surely who is who: stature, overlap, exchanges within contacts, and people who may be missing."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from tasks.ops.bind_cost import Network
from tasks.ops.bind_doubt import alternatives, left_open, probability
from tasks.ops.bind_events import unexplained
from tasks.ops.bind_motion import MotionScales, first_end, last_end, overlap, unsteadiness
from tasks.ops.cast import LeftOut, Person, Shot
from tasks.ops.spans import spans_of
from tasks.ops.stature import by_stature, statures
from tests.test_bind_evidence import FPS, track

SIZE = (480, 640)
SHOT = Shot(frames=100, fps=FPS, size=SIZE)


def test_the_same_box_in_the_next_frame_is_the_same_person_and_another_place_is_not() -> None:
    scales = MotionScales()
    walks, on, beside = track(0, 15, (90, 100)), track(15, 30, (101, 110)), track(15, 30, (140, 150))
    same, other = (float(overlap(last_end(walks, FPS), first_end(b, FPS), 1 / FPS, scales)) for b in (on, beside))
    assert same < -2 < 2 < other
    later = float(overlap(last_end(walks, FPS), first_end(on, FPS), 1.0, scales))
    assert abs(later) < 0.01, "what boxes share says nothing a second later"


def test_boxes_that_tremble_all_along_say_less_by_their_overlap() -> None:
    rng = np.random.default_rng(5)
    still = track(0, 30, (100, 100))
    shaken = replace(still, steady=still.steady + rng.normal(0, 6, still.steady.shape))
    unsteady = [unsteadiness([one]) for one in (still, shaken)]
    assert unsteady[0] == 0 < 0.1 < unsteady[1]
    near, off = track(30, 45, (100, 100)), track(30, 45, (112, 112))
    steady, trembling = (
        [
            float(overlap(last_end(still, FPS), first_end(b, FPS), 1 / FPS, MotionScales(unsteady=u)))
            for b in (near, off)
        ]
        for u in unsteady
    )
    assert steady[0] == trembling[0], "what lies in one place does so however boxes tremble"
    assert trembling[1] < steady[1] - 1, "a step aside is no more than trembling"


def test_stature_tells_the_tall_from_the_short_where_looks_are_equal() -> None:
    tall, short = track(0, 20, (90, 100), height=120), track(0, 20, (200, 210), height=95)
    later = [track(40, 60, (140, 150), height=height) for height in (120, 95)]
    nats = by_stature([tall, short, *later], SIZE)
    assert nats[0, 2] > 0.5 > -1 > nats[0, 3]
    assert nats[1, 3] > 0.5 > -1 > nats[1, 2]
    assert np.allclose(nats, nats.T)
    assert not np.diag(nats).any()


def test_stature_says_little_among_people_of_one_height() -> None:
    pairs = [track(start, start + 20, (x, x), height=100) for start in (0, 40, 80) for x in (90, 200, 300)]
    assert abs(by_stature(pairs, SIZE)).max() < by_stature(pairs[:1] + pairs[3:4], SIZE).max()


def test_who_is_cut_off_by_the_frame_or_covered_has_no_stature() -> None:
    whole, covered = track(0, 20, (90, 100)), track(0, 20, (90, 100))
    covered = replace(covered, apart=np.full(20, 0.3))
    cut = replace(whole, box=whole.box + np.array([0.0, SIZE[0] - 200, 0, SIZE[0] - 200]))
    found, tremble = statures([whole, covered, cut], SIZE)
    assert np.isfinite(found).tolist() == [True, False, False]
    assert tremble == pytest.approx(0)


# Two people, each clear, in fragments while they touch, and clear again: 0, 2, 4, 6 and 1, 3, 5, 7.
_FIRST = np.array([0, 0, 10, 10, 12, 12, 20, 20])
_STOP = np.array([10, 10, 12, 12, 20, 20, 30, 30])
_CLEAR = np.array([True, True, False, False, False, False, True, True])


def network(within: float, across: float) -> Network:
    """Going on costs nothing; to change over, `within` between fragments, `across` from clear piece to clear piece."""
    link = np.full((8, 8), np.inf)
    for a, b in ((0, 2), (2, 4), (4, 6)):
        link[a, b] = link[a + 1, b + 1] = 0.0
        link[a, b + 1] = link[a + 1, b] = within
    link[0, 6] = link[1, 7] = 0.0
    link[0, 7] = link[1, 6] = across
    return Network(
        first=_FIRST, stop=_STOP, link=link, start=np.zeros(8), end=np.zeros(8), nobody=np.full(8, 50.0)
    )  # fmt: skip


def cheapest(chains: list[list[int]], network: Network, alike: np.ndarray, clear: np.ndarray, least: int = 1) -> list:
    """At each step of each chain what the cheapest exchange costs, of all tracks; infinite where there is none."""
    views = alternatives(chains, network, alike, clear, least)
    return [[min(among_all, default=float("inf")) for among_all, *_ in steps] for steps in views]


@pytest.mark.parametrize(
    ("within", "across", "margin"),
    [
        pytest.param(4.0, 4.0, 8.0, id="both views agree"),
        pytest.param(4.0, 0.0, 4.0, id="fragments tell, the clear pieces do not"),
        pytest.param(4.0, -4.0, 0.0, id="the two views contradict each other"),
    ],
)
def test_a_contact_is_weighed_from_both_views(within: float, across: float, margin: float) -> None:
    steps = cheapest([[0, 2, 4, 6], [1, 3, 5, 7]], network(within, across), np.zeros((8, 8)), _CLEAR)
    assert steps == [[margin] * 3, [margin] * 3]


def test_an_exchange_of_a_moment_is_not_counted() -> None:
    cheap = network(1.0, 50.0)
    chains = [[0, 2, 4, 6], [1, 3, 5, 7]]
    assert cheapest(chains, cheap, np.zeros((8, 8)), _CLEAR)[0][0] == 4.0
    # The fragments 2 and 3, two frames long, may change hands alone; 4 and 5 last for eight.
    longer = cheapest(chains, cheap, np.zeros((8, 8)), _CLEAR, least=3)[0]
    assert longer == [4.0, 4.0, 4.0]
    # Ten frames: all fragments, or all from the last step on.
    assert cheapest(chains, cheap, np.zeros((8, 8)), _CLEAR, least=11)[0] == [51.0, 51.0, np.inf]


GHOST = "nobody's: a ghost, a part of someone or too short"


def doubted(*left_out: LeftOut) -> list[tuple[str, int, int]]:
    """The doubts about who is left out beside one person, who stands at 300 all along."""
    person = Person(tracks=(track(0, 100, (300, 300)),), sure=(), held=(np.zeros(0, int), np.zeros((0, 4))))
    still = np.tile(np.eye(2, 3), (100, 1, 1))
    spans = spans_of([person], SHOT, still, fill_s=0.2, doubt_s=0.2)
    return [(event.kind, event.start, event.stop) for event in unexplained([*left_out], spans, SHOT)]


@pytest.mark.parametrize(
    ("why", "frames", "doubts"),
    [
        pytest.param(GHOST, 12, 1, id="someone may be missing"),
        pytest.param(GHOST, 4, 0, id="a detector's slip"),
        pytest.param("audience: small beside the main people", 12, 0, id="audience is left out for its own reason"),
    ],
)
def test_who_is_found_often_and_is_nobody_is_a_doubt(why: str, frames: int, doubts: int) -> None:
    found = doubted(LeftOut(track=track(20, 20 + frames, (90, 100)), why=why))
    assert found == [("doubt", 20, 20 + frames)] * doubts


@pytest.mark.parametrize(
    ("x", "doubts"),
    [
        pytest.param(305, 0, id="a second box on the person"),
        pytest.param(325, 1, id="somebody right beside the person"),
    ],
)
def test_a_second_box_on_a_person_is_no_stranger(x: float, doubts: int) -> None:
    found = doubted(LeftOut(track=track(20, 40, (x, x)), why=GHOST))
    assert found == [("doubt", 20, 40)] * doubts


@pytest.mark.parametrize(
    ("why", "x", "doubts"),
    [
        pytest.param("onlooker: moved 0.03 of their height", 108, 0, id="a piece of who looks on"),
        pytest.param("audience: small beside the main people", 108, 0, id="a piece of the audience"),
        pytest.param("onlooker: moved 0.03 of their height", 135, 1, id="somebody beside who looks on"),
        pytest.param("a passer-by: too short in the picture", 108, 1, id="where another passes by"),
    ],
)
def test_who_looks_on_and_is_found_in_pieces_is_no_stranger(why: str, x: float, doubts: int) -> None:
    elsewhere = LeftOut(track=track(60, 63, (100, 100)), why=why)
    found = doubted(elsewhere, LeftOut(track=track(20, 40, (x, x)), why=GHOST))
    assert [one for one in found if one[1] == 20] == [("doubt", 20, 40)] * doubts


def test_a_clear_piece_between_two_contacts_is_weighed_from_both_views() -> None:
    # Of each person: clear, fragment, clear, fragment, clear. Looks hold the first piece and the last together.
    first = np.repeat([0, 10, 12, 22, 24], 2)
    link = np.full((10, 10), np.inf)
    for a, b, nats in ((0, 2, 1.0), (2, 4, 1.0), (4, 6, 1.0), (6, 8, 1.0), (0, 4, 3.0), (4, 8, 3.0)):
        link[a, b] = link[a + 1, b + 1] = 0.0
        link[a, b + 1] = link[a + 1, b] = nats
    alike = np.zeros((10, 10))
    for a, b in itertools.product((0, 1, 8, 9), repeat=2):
        alike[a, b] = 1.0 if a == b else 40.0 if a % 2 == b % 2 else -40.0
    network = Network(
        first=first, stop=first + np.repeat([10, 2, 10, 2, 10], 2), link=link, start=np.zeros(10), end=np.zeros(10),
        nobody=np.full(10, 50.0),
    )  # fmt: skip
    clear = np.repeat([True, False, True, False, True], 2)
    steps = cheapest([[0, 2, 4, 6, 8], [1, 3, 5, 7, 9]], network, alike, clear, least=5)
    # Over at one contact and back at the other: two steps of each kind for each of two people, either kind by half.
    assert steps == [[(4 * 1.0 + 4 * 3.0) / 2] * 4] * 2


def test_what_the_sure_tracks_alone_say_is_a_view_of_its_own() -> None:
    # Fragments forbid the exchange (they lie side by side, and change over at no price that could be paid); from clear
    # piece to clear piece it would cost next to nothing: nobody knows who came out of the contact.
    views = alternatives([[0, 2, 4, 6], [1, 3, 5, 7]], network(1e9, 0.5), np.zeros((8, 8)), _CLEAR)
    assert views[0] == views[1]
    for among_all, among_sure, _ in views[0]:
        assert min(among_all) > 1e8
        assert among_sure == [1.0]
    assert probability(views[0][0][:2]) == pytest.approx(1 / (1 + np.exp(-0.5)))


@pytest.mark.parametrize(
    ("alike", "border", "link", "least", "nats"),
    [
        pytest.param(0.0, 4.0, 0.0, 1, 8.0, id="one goes and one comes in the middle of the picture"),
        pytest.param(0.0, 1.0, 0.0, 1, 2.0, id="at its edge"),
        pytest.param(0.0, 4.0, -5.0, 1, 13.0, id="the motion goes on"),
        pytest.param(-4.0, 4.0, 0.0, 1, 0.0, id="they look different"),
        pytest.param(4.0, 4.0, 0.0, 1, 16.0, id="they look alike"),
        pytest.param(-4.0, 4.0, np.inf, 1, 0.0, id="too far apart for a step"),
        pytest.param(-4.0, 4.0, 0.0, 3, None, id="too short a piece"),
    ],
)
def test_one_person_may_have_gone_and_another_come(
    alike: float, border: float, link: float, least: int, nats: float | None
) -> None:
    # One person: clear, a fragment, clear.
    links = np.full((3, 3), np.inf)
    links[0, 1] = links[1, 2] = 0.0
    links[0, 2] = link
    costs = Network(
        first=np.array([0, 10, 12]), stop=np.array([10, 12, 30]), link=links, start=np.full(3, border),
        end=np.full(3, border), nobody=np.full(3, 50.0),
    )  # fmt: skip
    looks = np.array([[1.0, 9.0, alike], [9.0, 0.6, 9.0], [alike, 9.0, 1.0]])
    (steps,) = alternatives([[0, 1, 2]], costs, looks, np.array([True, False, True]), least)
    assert [parted for _, _, parted in steps] == [[] if nats is None else [pytest.approx(nats)]] * 2


def test_alternatives_add_up() -> None:
    alone, three = probability([[2.0], []]), probability([[2.0, 2.0, 2.0], []])
    assert three < alone < 1
    assert probability([[], [2.0]]) == alone, "of two views the one in doubt counts"
    assert probability([[-3.0], []]) == 0.5, "what would be better still is as likely as what stands"


def test_a_moment_that_may_be_anybodys_is_left_open() -> None:
    # Person a goes by clear pieces 0 and 3; b by 1 and 4; the fragment 2, six frames, fits b as well as a.
    first, stop = np.array([0, 0, 20, 30, 30]), np.array([20, 20, 26, 60, 60])
    link = np.full((5, 5), np.inf)
    link[0, 3] = link[1, 4] = 0.0
    link[0, 4] = link[1, 3] = 20.0
    chains, clear = [[0, 2, 3], [1, 4]], np.array([True, True, False, True, True])

    def after(nats: float) -> list[list[int]]:
        link[0, 2] = link[2, 3] = 0.0
        link[1, 2] = link[2, 4] = nats
        net = Network(first=first, stop=stop, link=link, start=np.zeros(5), end=np.zeros(5), nobody=np.full(5, 50.0))
        return left_open(chains, net, np.zeros((5, 5)), clear, least=3, fps=FPS)

    assert after(0.5) == [[0, 3], [1, 4]], "one nat for either: open"
    assert after(4.0) == chains, "eight nats: it is a's"
    stop[2] = 20 + round(0.6 * FPS)
    first[3:], stop[3:] = 50, 80
    assert after(0.5) == chains, "what lasts longer is somebody's, and a doubt"


def test_nobody_is_left_without_a_track() -> None:
    # Person a is seen for a moment only, and which of the two boxes of that moment is theirs cannot be told.
    first, stop = np.array([0, 20, 20, 30]), np.array([20, 26, 26, 60])
    link = np.full((4, 4), np.inf)
    link[0, 1] = link[0, 2] = link[1, 3] = link[2, 3] = 0.0
    net = Network(first=first, stop=stop, link=link, start=np.zeros(4), end=np.zeros(4), nobody=np.full(4, 50.0))
    chains = [[2], [0, 1, 3]]
    assert left_open(chains, net, np.zeros((4, 4)), np.ones(4, bool), least=3, fps=FPS) == chains
