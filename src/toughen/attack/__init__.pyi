# What `toughen.attack` exports, and where it lives: imported when first used.
from .certificates import Certified as Certified
from .certificates import certify as certify
from .curve import NoiseCurve as NoiseCurve
from .curve import noise_curve as noise_curve
from .diff import as_html as as_html
from .diff import side_by_side as side_by_side
from .endpoint import Endpoint as Endpoint
from .results import AttackResult as AttackResult
from .run_attack import ATTACKS as ATTACKS
from .run_attack import attack as attack
from .standardised import StandardResult as StandardResult
from .standardised import standard as standard
from .subject import TextClassifier as TextClassifier
