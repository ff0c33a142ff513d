"""Face embeddings -> tokens of everyone, and the cross-attention that reads them all: the MultiFace encoder.

DanceTogether [N, section 2 of our notes]: ArcFace e_i in R^512 -> shared MLP -> 4 tokens a person -> 4-layer perceiver
cross-attending to the CLIP image embedding; the tokens of all N people, 4N, into the U-Net's cross-attention. Zero
vector where no face is seen. The perceiver's layer is IP-Adapter's (its queries are also keys). In the U-Net the
attention to faces is decoupled from the image tokens, as IP-Adapter's (arXiv 2308.06721, eq. 5):

    Z = Attention(Q, K, V) W_o + Attention(Q, K_f, V_f) W_f      K_f = c_f W_k', V_f = c_f W_v', W_f zero at first

so that step 0 equals the base network, and softmax over 4N unordered tokens is blind to order. StableAnimator's reads
the last 4 tokens only, and so sees one person [V].

B clips, P people, D width of cross-attention.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from diffusers import UNetSpatioTemporalConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor, nn
from torch.nn import functional as F

from model.config import FaceConfig


class MultiFaceEncoder(nn.Module):
    """Embeddings (B, P, E) and image tokens (B, K, D) -> tokens of all people (B, n*P, D)."""

    def __init__(self, shape: FaceConfig, width: int) -> None:
        super().__init__()
        self.tokens, self.width = shape.tokens, width
        self.expand = nn.Sequential(
            nn.Linear(shape.embedding, 2 * width), nn.GELU(), nn.Linear(2 * width, shape.tokens * width)
        )
        self.norm = nn.LayerNorm(width)
        self.layers = nn.ModuleList(_PerceiverLayer(width, shape.heads) for _ in range(shape.depth))
        self.norm_out = nn.LayerNorm(width)

    def forward(self, embedding: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, n*P, D), zero for people without a face, and `seen` (B, n*P) bool.

        `embedding` (B, P, E) has zeros where no face is seen.
        """
        people = embedding.shape[1]
        seen = (embedding != 0).any(dim=-1)
        token = self.norm(self.expand(embedding).flatten(0, 1).unflatten(-1, (self.tokens, self.width)))
        shown = image.repeat_interleave(people, dim=0)
        for layer in self.layers:
            token = layer(token, shown)
        token = self.norm_out(token).unflatten(0, (-1, people)) * seen[..., None, None]
        return token.flatten(1, 2), seen.repeat_interleave(self.tokens, dim=1)


class _PerceiverLayer(nn.Module):
    """Tokens look at the image and at each other, then pass a feed-forward layer; both added to what came in."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_image, self.norm_token = nn.LayerNorm(width), nn.LayerNorm(width)
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_kv = nn.Linear(width, 2 * width, bias=False)
        self.to_out = nn.Linear(width, width, bias=False)
        self.feed = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, token: Tensor, image: Tensor) -> Tensor:
        """`token` (N, n, D), `image` (N, K, D) -> (N, n, D)."""
        own = self.norm_token(token)
        key, value = self.to_kv(torch.cat([self.norm_image(image), own], dim=1)).chunk(2, dim=-1)
        found = _attention(self.to_q(own), key, value, self.heads)
        token = token + self.to_out(found)
        return token + self.feed(token)


class FaceContext:
    """The face tokens that a forward pass of the U-Net is about: its attention layers all look here.

    diffusers' blocks hand on image tokens only, and copy those for every frame and every cell; faces need no copies.
    """

    def __init__(self) -> None:
        self.now: tuple[Tensor, Tensor] | None = None

    @contextmanager
    def showing(self, faces: tuple[Tensor, Tensor] | None) -> Iterator[None]:
        """Inside, attention reads these tokens (B, S, D) and their `seen` (B, S); None: no faces at all."""
        before, self.now = self.now, faces
        try:
            yield
        finally:
            self.now = before


class FaceAttention(nn.Module):
    """A processor of diffusers' Attention: attention to image tokens as it was, plus attention to faces."""

    def __init__(self, attention: Attention, width: int, context: FaceContext) -> None:
        super().__init__()
        inner = attention.to_q.out_features
        self.to_k = nn.Linear(width, inner, bias=False)
        self.to_v = nn.Linear(width, inner, bias=False)
        self.to_out = nn.Linear(inner, attention.to_out[0].out_features, bias=False)
        nn.init.zeros_(self.to_out.weight)
        self.context = context

    def forward(
        self,
        attention: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """`hidden_states` (R, L, C), rows grouped by clip: (clip, frame) in space, (clip, cell) in time."""
        query = attention.to_q(hidden_states)
        key, value = attention.to_k(encoder_hidden_states), attention.to_v(encoder_hidden_states)
        found = attention.to_out[1](attention.to_out[0](_attention(query, key, value, attention.heads)))
        if self.context.now is None:
            return found
        return found + self.to_faces(query, *self.context.now, attention.heads)

    def to_faces(self, query: Tensor, token: Tensor, seen: Tensor, heads: int) -> Tensor:
        """What queries (R, L, C) find in their clip's face tokens (B, S, D), `seen` (B, S): (R, L, C).

        All rows of a clip ask the same tokens, so they ask at once. A key and a value of zeros stand beside the
        tokens: whoever finds no face, or looks for none, gets nothing, and no softmax is empty.
        """
        key, value = F.pad(self.to_k(token), (0, 0, 1, 0)), F.pad(self.to_v(token), (0, 0, 1, 0))
        admitted = F.pad(seen, (1, 0), value=True)[:, None, None]
        rows = query.reshape(len(token), -1, query.shape[-1])
        return self.to_out(_attention(rows, key, value, heads, admitted)).reshape(*query.shape[:-1], -1)


def add_face_attention(unet: UNetSpatioTemporalConditionModel, width: int) -> FaceContext:
    """Let every cross-attention layer of the U-Net, in space and in time, read faces; returns where they are shown."""
    context = FaceContext()
    for name, module in list(unet.named_modules()):
        if name.endswith(".attn2"):
            module.set_processor(FaceAttention(module, width, context))
    return context


def _attention(query: Tensor, key: Tensor, value: Tensor, heads: int, mask: Tensor | None = None) -> Tensor:
    """softmax(Q K^T / sqrt(d)) V by heads: (N, L, C), (N, S, C), (N, S, C) -> (N, L, C)."""
    q, k, v = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2).flatten(2)
