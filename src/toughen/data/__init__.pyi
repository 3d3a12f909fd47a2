# What `toughen.data` exports, and where it lives: imported when first used.
from .batches import Collator as Collator
from .batches import LengthBuckets as LengthBuckets
from .batches import Rows as Rows
from .batches import padding_share as padding_share
from .config import Data as Data
from .divide.fold_assignment import fold_assignment as fold_assignment
from .divide.overlap import text_hashes as text_hashes
from .divide.summary import Summary as Summary
from .load import load_splits as load_splits
from .splits import Splits as Splits
from .splits import load_labelled as load_labelled
from .splits import load_texts as load_texts
from .tokens.tokenise import cut_share as cut_share
from .tokens.tokenise import effective_max_length as effective_max_length
from .tokens.tokenise import tokenise as tokenise
