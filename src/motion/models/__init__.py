"""The networks that forecast motion, a file per family; `build` makes one from its config."""

from src.motion.body.pose_space import Normaliser
from src.motion.models import mixer, seq2seq, st_conv, st_transformer, taxonomy, transformer
from src.motion.models.forecaster import Forecaster

Config = (
    st_transformer.Config
    | st_conv.Config
    | seq2seq.Config
    | transformer.Config
    | taxonomy.Config
    | mixer.Config
)


def build(config: Config, normaliser: Normaliser) -> Forecaster:
    """A network with new random weights.

    The normaliser's shape gives the numbers of joints and channels; its scale turns noise from the
    representation's unit into the network's.
    """
    joints, channels = normaliser.scale.shape
    match config:
        case st_transformer.Config():
            return st_transformer.StTransformer(config, normaliser.scale)
        case st_conv.Config():
            return st_conv.StConv(config, joints, channels)
        case seq2seq.Config():
            return seq2seq.Seq2seq(config, joints, channels)
        case transformer.Config(lstm_decoder=True):
            return transformer.TransformerLstm(config, joints, channels)
        case transformer.Config():
            return transformer.Transformer(config, joints, channels)
        case taxonomy.Config():
            return taxonomy.build(config, joints, channels)
        case mixer.Config():
            return mixer.Mixer(config, joints, channels)
