"""fairmotion's transformers: one token per pose, torch's encoder and decoder layers.

- `Transformer` has an encoder and a decoder. Each decoder output is the frame *after* its input; a
  forecast is made frame by frame. fairmotion returns its decoder's input, one frame late.
- `TransformerLstm` has an encoder, whose last output is the first state of an LSTM decoder.
  fairmotion swaps the axes of batch and time, so its encoder attends over the batch.
- `residual` is as in seq2seq.py: velocity form, which starts from zero velocity.

Letters: **B** windows, **T** frames, **C** = J M channels of a pose, **D** width.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from src.motion.models.forecaster import Forecaster, Frames
from src.motion.models.positions import sinusoids
from src.motion.models.seq2seq import INIT, Continuing, Decoder, State

EMBEDDING_INIT = 0.1  # the encoder-LSTM's input map begins uniform within +- this


@dataclass(frozen=True, kw_only=True)
class Config:
    """Sizes; the defaults are fairmotion's."""

    hidden: int = 1024  # D, also the width of the feed-forward and of an LSTM
    heads: int = 4  # of every attention
    layers: int = 1  # of the encoder and of a transformer decoder
    dropout: float = 0.5  # after the embedding and in the layers
    lstm_decoder: bool = False  # continue with an LSTM instead of a transformer decoder
    residual: bool = False  # predict the change instead of the pose
    window: int = 120  # frames read
    target: int = 24  # frames continued


class Embedding(nn.Module):
    """Turns poses of C channels, in at most `longest` frames, into tokens.

    A linear map times sqrt(D), plus sinusoids, then dropout.
    """

    def __init__(self, pose: int, config: Config, longest: int):
        super().__init__()
        self.linear = nn.Linear(pose, config.hidden)
        self.dropout = nn.Dropout(config.dropout)
        self.register_buffer("pattern", sinusoids(longest, config.hidden), persistent=False)

    def forward(self, x: Float[Tensor, "B T C"]) -> Float[Tensor, "B T D"]:
        """Embed; positions count from 0."""
        tokens = self.linear(x) * self.linear.out_features**0.5
        return self.dropout(tokens + self.pattern[: x.shape[1]])


def encoder(config: Config, final_norm: bool) -> nn.TransformerEncoder:
    """torch's encoder: post-norm layers, ReLU."""
    layer = nn.TransformerEncoderLayer(
        config.hidden, config.heads, config.hidden, config.dropout, batch_first=True
    )
    norm = nn.LayerNorm(config.hidden) if final_norm else None
    return nn.TransformerEncoder(layer, config.layers, norm, enable_nested_tensor=False)


class Transformer(Forecaster):
    """Encoder and decoder for J joints of M channels.

    If there is a `prior` (motion taxonomy), the seed passes through it to the encoder.
    """

    def __init__(self, config: Config, joints: int, channels: int, prior: nn.Module | None = None):
        super().__init__(config.window, config.target)
        self.residual = config.residual
        pose = joints * channels
        self.embedding = Embedding(pose, config, max(config.window, config.target))
        self.encoder = encoder(config, final_norm=True)
        layer = nn.TransformerDecoderLayer(
            config.hidden, config.heads, config.hidden, config.dropout, batch_first=True
        )
        self.decoder = nn.TransformerDecoder(layer, config.layers, nn.LayerNorm(config.hidden))
        self.project = nn.Linear(config.hidden, pose)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        if config.residual:
            nn.init.zeros_(self.project.weight)
            nn.init.zeros_(self.project.bias)
        self.prior = prior

    def teach(self, frames: Frames, truth: Frames, progress: float) -> tuple[Tensor, Tensor]:
        """The decoder is given the last seed frame and all but the last target frame."""
        poses = frames.flatten(2)
        memory = self.read(poses[:, : self.window])
        made = self.decode(poses[:, self.window - 1 : -1], memory)
        return made.unflatten(-1, frames.shape[2:]), truth[:, self.window :]

    def next_frames(self, window: Frames) -> Float[Tensor, "B N J M"]:
        """Predict `target` frames one by one, each an output of the decoder."""
        poses = window.flatten(2)
        memory, given = self.read(poses), poses[:, -1:]
        for _ in range(self.step):
            given = torch.cat([given, self.decode(given, memory)[:, -1:]], 1)
        return given[:, 1:].unflatten(-1, window.shape[2:])

    def read(self, seed: Float[Tensor, "B T C"]) -> Float[Tensor, "B T D"]:
        return self.encoder(self.embedding(seed if self.prior is None else self.prior(seed)))

    def decode(
        self, given: Float[Tensor, "B N C"], memory: Float[Tensor, "B T D"]
    ) -> Float[Tensor, "B N C"]:
        """The frame after each given frame, predicted from the given frames up to it."""
        n = given.shape[1]
        mask = nn.Transformer.generate_square_subsequent_mask(n, device=given.device)
        out = self.decoder(self.embedding(given), memory, tgt_mask=mask, tgt_is_causal=True)
        return self.project(out) + (given if self.residual else 0)


class TransformerLstm(Continuing):
    """Encoder, then an LSTM decoder, for J joints of M channels."""

    def __init__(self, config: Config, joints: int, channels: int):
        pose = joints * channels
        lstm = nn.LSTM(pose, config.hidden, batch_first=True)
        super().__init__(config.window, config.target, Decoder(lstm, pose, config.residual))
        self.embedding = Embedding(pose, config, max(config.window, config.target))
        self.encoder = encoder(config, final_norm=False)
        nn.init.uniform_(self.embedding.linear.weight, -EMBEDDING_INIT, EMBEDDING_INIT)
        for parameter in self.decoder.parameters():
            nn.init.uniform_(parameter, -INIT, INIT)
        self.decoder.start_still()

    def read(self, seed: Float[Tensor, "B T C"]) -> State:
        """The encoder's last output, as hidden and as cell state."""
        last = self.encoder(self.embedding(seed))[None, :, -1].contiguous()
        return last, last
