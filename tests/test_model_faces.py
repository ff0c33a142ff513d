"""model/faces.py: tokens of everyone, zero start, order, people without a face, gradients, checkpointing."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from diffusers.models.attention_processor import Attention  # noqa: E402

from model.config import FaceConfig  # noqa: E402
from model.faces import FaceAttention, FaceContext, MultiFaceEncoder, add_face_attention  # noqa: E402
from model.network import build_unet  # noqa: E402
from tests.model_inputs import awake, nano  # noqa: E402

torch.set_num_threads(1)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return MultiFaceEncoder(FaceConfig(embedding=12, depth=4), 32)


def faces(people: int, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, people, 12, generator=torch.Generator().manual_seed(people))


IMAGE = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(9))


def test_four_tokens_a_person_all_different(encoder):
    token, seen = encoder(faces(3), IMAGE)
    assert token.shape == (2, 12, 32)
    assert seen.shape == (2, 12)
    assert seen.all()
    assert torch.pdist(token[0]).min() > 0.1


def test_a_person_without_a_face_has_zero_tokens_and_is_not_seen(encoder):
    embedding = faces(2)
    embedding[1, 0] = 0
    token, seen = encoder(embedding, IMAGE)
    assert not token[1, :4].any()
    assert seen.tolist() == [[True] * 8, [False] * 4 + [True] * 4]
    assert torch.allclose(token[1, 4:], encoder(embedding[1:, 1:], IMAGE[1:])[0][0], atol=1e-6)


def test_a_persons_tokens_do_not_depend_on_the_others_or_the_order(encoder):
    embedding = faces(3)
    token = encoder(embedding, IMAGE)[0].unflatten(1, (3, 4))
    turned = encoder(embedding[:, [2, 0, 1]], IMAGE)[0].unflatten(1, (3, 4))
    assert torch.allclose(turned, token[:, [2, 0, 1]], atol=1e-6)


def test_tokens_look_at_the_image(encoder):
    assert (encoder(faces(1), IMAGE)[0] - encoder(faces(1), IMAGE.roll(1, -1))[0]).abs().max() > 1e-2


def layer(seed: int = 0) -> tuple[Attention, FaceContext]:
    """One cross-attention layer that reads faces, awake."""
    torch.manual_seed(seed)
    attention, context = Attention(query_dim=32, cross_attention_dim=32, heads=2, dim_head=16), FaceContext()
    attention.set_processor(FaceAttention(attention, 32, context))
    return attention, context


HIDDEN = torch.randn(4, 6, 32, generator=torch.Generator().manual_seed(1))
TEXT = torch.randn(4, 3, 32, generator=torch.Generator().manual_seed(2))
TOKEN = torch.randn(2, 8, 32, generator=torch.Generator().manual_seed(3))
SEEN = torch.ones(2, 8, dtype=torch.bool)


def test_attention_begins_as_diffusers_own():
    attention, context = layer()
    with context.showing((TOKEN, SEEN)):
        ours = attention(HIDDEN, encoder_hidden_states=TEXT)
    plain = Attention(query_dim=32, cross_attention_dim=32, heads=2, dim_head=16)
    plain.load_state_dict({k: v for k, v in attention.state_dict().items() if "processor" not in k})
    assert torch.equal(ours, plain(HIDDEN, encoder_hidden_states=TEXT))


def test_rows_ask_the_faces_of_their_own_clip_one_softmax_over_all_people():
    attention, context = layer()
    processor = awake(attention.processor)
    query = attention.to_q(HIDDEN)
    with context.showing((TOKEN, SEEN)):
        found = attention(HIDDEN, encoder_hidden_states=TEXT)
    with context.showing(None):
        without = attention(HIDDEN, encoder_hidden_states=TEXT)
    for row in range(4):
        clip = row // 2
        key, value = processor.to_k(TOKEN[clip]), processor.to_v(TOKEN[clip])
        key, value = (torch.cat([torch.zeros(1, 32), x]) for x in (key, value))
        heads = []
        for h in range(2):
            part = slice(16 * h, 16 * h + 16)
            share = torch.softmax(query[row][:, part] @ key[:, part].T / 4, dim=-1)
            heads.append(share @ value[:, part])
        want = processor.to_out(torch.cat(heads, dim=-1))
        assert torch.allclose(found[row] - without[row], want, atol=1e-5)


def test_every_person_is_heard_and_the_order_is_not():
    attention, context = layer()
    awake(attention.processor)

    def out(token, seen=SEEN):
        with context.showing((token, seen)):
            return attention(HIDDEN, encoder_hidden_states=TEXT)

    whole = out(TOKEN)
    for person in range(2):
        other = TOKEN.clone()
        other[:, 4 * person : 4 * person + 4] += 1
        assert (out(other) - whole).abs().max() > 1e-3
    assert (out(torch.cat([TOKEN[:, 4:], TOKEN[:, :4]], dim=1)) - whole).abs().max() <= 1e-5


def test_people_without_a_face_are_not_heard_and_no_face_at_all_is_the_base():
    attention, context = layer()
    awake(attention.processor)
    seen = SEEN.clone()
    seen[:, :4] = False
    with context.showing((TOKEN, seen)):
        some = attention(HIDDEN, encoder_hidden_states=TEXT)
    with context.showing((TOKEN[:, 4:], SEEN[:, 4:])):
        alone = attention(HIDDEN, encoder_hidden_states=TEXT)
    assert torch.allclose(some, alone, atol=1e-6)
    with context.showing((TOKEN, ~SEEN)):
        nobody = attention(HIDDEN, encoder_hidden_states=TEXT)
    with context.showing(None):
        base = attention(HIDDEN, encoder_hidden_states=TEXT)
    assert torch.equal(nobody, base)


def test_every_cross_attention_layer_reads_faces_in_space_and_in_time():
    unet = build_unet(nano())
    add_face_attention(unet, 32)
    ours = {name for name, module in unet.named_modules() if isinstance(module, FaceAttention)}
    cross = {f"{name}.processor" for name, module in unet.named_modules() if name.endswith(".attn2")}
    assert ours == cross
    assert any(".temporal_transformer_blocks." in name for name in ours)
    # down 2 levels x 1 layer, middle 1, up 2 levels x 2 layers; each in space and in time
    assert len(ours) == 2 * (2 + 1 + 4)
