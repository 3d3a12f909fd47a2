# What `toughen` exports, and where it lives: imported when first used.
from .combining.combine import combine as combine
from .compare.try_recipes import try_recipes as try_recipes
from .data.config import Data as Data
from .deploy.predictor import load as load
from .engine.adversaries.ascent import Fgm as Fgm
from .engine.adversaries.ascent import Fgsm as Fgsm
from .engine.adversaries.ascent import FreeLb as FreeLb
from .engine.adversaries.ascent import Pgd as Pgd
from .engine.adversaries.smooth import GradientPenalty as GradientPenalty
from .engine.adversaries.smooth import Rat as Rat
from .engine.adversaries.smooth import Smart as Smart
from .engine.adversaries.smooth import Vat as Vat
from .engine.adversaries.weights import Asam as Asam
from .engine.adversaries.weights import Awp as Awp
from .engine.adversaries.weights import Sam as Sam
from .engine.averages import CheckpointSoup as CheckpointSoup
from .engine.averages import Ema as Ema
from .engine.averages import Swa as Swa
from .engine.engine import Engine as Engine
from .engine.inputs import Mixup as Mixup
from .engine.inputs import Neftune as Neftune
from .engine.objectives import CrossEntropy as CrossEntropy
from .engine.objectives import RDrop as RDrop
from .engine.weight_average import WeightAverage as WeightAverage
from .engine.weight_average import make_average as make_average
from .errors import InputError as InputError
from .huggingface.trainer import ToughTrainer as ToughTrainer
from .model.head_config import Head as Head
from .model.lora_config import Lora as Lora
from .recipe.recipe import Recipe as Recipe
from .recipe.recipe import load_recipe as load_recipe
from .recipe.training import Training as Training
from .run import Run as Run
from .run import train as train

__version__: str
