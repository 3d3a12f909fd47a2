"""Attacks, each put together from goal, transformation, constraints and search as its paper describes it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toughen.attack.constraints import (
    STOP_WORDS,
    Constraint,
    KeepWords,
    MaxChanged,
    NoLabelWord,
    SamePartOfSpeech,
    SimilarSentence,
)
from toughen.attack.goals import Goal, Untargeted
from toughen.attack.imperceptible import DELETION, HOMOGLYPH, INVISIBLE, REORDERING, ImperceptibleEdits
from toughen.attack.local_models import EmbeddingNeighbours, Encoder, MaskedModel
from toughen.attack.search_methods import Beam, GreedyByImportance, GreedyBySaliency, Problem, Search, Trial
from toughen.attack.search_requests import Fills, Gains, Request, Service, Similarities
from toughen.attack.subject import threshold_of
from toughen.attack.transforms import CharacterEdits, MaskedWords, NeighbourWords, Transformation
from toughen.attack.whitebox import WhiteBox, require_white_box
from toughen.attack.word_lists import read_word_lists
from toughen.data.words import Words
from toughen.errors import InputError

MAX_CHANGED = 0.2
SIMILARITY = 0.8


@dataclass(frozen=True)
class Attack:
    """Four parts.

    Attributes:
        name: of the attack.
        source: the paper.
        goal: when it has succeeded.
        transformation: what may stand in a word's place.
        constraints: what may not be done.
        search: in which order things are tried.
    """

    name: str
    source: str
    goal: Goal
    transformation: Transformation
    constraints: tuple[Constraint, ...]
    search: Search

    def start(self, text: str, label: int, margin: float, seed: int) -> Generator[Request, Any, Trial]:
        """Return the search on one text; ``margin`` is the goal's on the text itself."""
        parts = (self.goal, self.transformation, self.constraints)
        return self.search(Problem(Words.of(text), label, margin, *parts, seed))


@dataclass(frozen=True)
class Ingredients:
    """What a recipe may take, as the user gave it.

    Attributes:
        classifier: the model under attack.
        neighbours: a list of neighbours (see `read_word_lists`); None: from the model's own embeddings.
        encoder: folder of a sentence encoder, or None for no constraint on similarity.
        similarity: least cosine by that encoder.
        mlm: folder of a masked language model.
        max_changed: share of the words that may be changed.
        stop_words: words that stay, in lower case.
        same_part_of_speech: whether a tagger has to agree.
        batch_size: texts per pass of the helpers.
    """

    classifier: Any
    neighbours: str | Path | Mapping[str, Sequence[str]] | None = None
    encoder: str | Path | None = None
    similarity: float = SIMILARITY
    mlm: str | Path | None = None
    max_changed: float = MAX_CHANGED
    stop_words: frozenset[str] = STOP_WORDS
    same_part_of_speech: bool = False
    batch_size: int = 64

    @property
    def goal(self) -> Untargeted:
        """Any wrong answer, by the classifier's own threshold where it has one."""
        return Untargeted(threshold_of(self.classifier))

    def constraints(self) -> tuple[Constraint, ...]:
        """Return the constraints that all attacks on text share."""
        usual: list[Constraint] = [
            MaxChanged(self.max_changed),
            KeepWords(self.stop_words),
            NoLabelWord(tuple(self.classifier.label_names)),
        ]
        if self.same_part_of_speech:
            usual.append(SamePartOfSpeech())
        if self.encoder is not None:
            usual.append(SimilarSentence(self.similarity, str(self.encoder)))
        return tuple(usual)

    def neighbour_words(self) -> NeighbourWords:
        """Return the substitution by the user's list, or by the model's embeddings."""
        if self.neighbours is not None:
            name = "a list given" if isinstance(self.neighbours, Mapping) else str(self.neighbours)
            return NeighbourWords(read_word_lists(self.neighbours), name)
        model, tokenizer = (getattr(self.classifier, part, None) for part in ("model", "tokenizer"))
        if model is None or tokenizer is None:
            raise InputError("this classifier shows no word embeddings to find neighbours in; give a neighbour list.")
        table = model.get_input_embeddings().weight.detach()
        return NeighbourWords(EmbeddingNeighbours(table, tokenizer), "the model's own embeddings, cosine 0.4 and more")

    def masked_words(self) -> MaskedWords:
        """Return the substitution by a masked language model.

        Raises:
            InputError: if no folder was given.
        """
        if self.mlm is None:
            raise InputError("the attack bae needs a masked language model; give the folder of one (mlm).")
        return MaskedWords(str(self.mlm))

    def services(self) -> dict[type, Service]:
        """Return who answers requests other than `Scores`; models load when they are first asked."""
        services: dict[type, Service] = {Gains: WhiteBox(self.classifier, self.batch_size)}
        if self.encoder is not None:
            services[Similarities] = Encoder(self.encoder, self.batch_size)
        if self.mlm is not None:
            services[Fills] = MaskedModel(self.mlm, batch_size=self.batch_size)
        return services


def deepwordbug(given: Ingredients) -> Attack:
    """Gao et al.: score words by leaving them out, misspell them by one letter in that order."""
    return Attack(
        name="deepwordbug",
        source="Gao et al., Black-box Generation of Adversarial Text Sequences (1801.04354)",
        goal=given.goal,
        transformation=CharacterEdits(),
        constraints=given.constraints(),
        search=GreedyByImportance(),
    )


def textfooler(given: Ingredients) -> Attack:
    """Jin et al.: score words by leaving them out, replace them by neighbours in that order."""
    return Attack(
        name="textfooler",
        source="Jin et al., Is BERT Really Robust? (1907.11932)",
        goal=given.goal,
        transformation=given.neighbour_words(),
        constraints=given.constraints(),
        search=GreedyByImportance(),
    )


def pwws(given: Ingredients) -> Attack:
    """Ren et al.: each word's best neighbour, in the order of its gain times the word's saliency."""
    return Attack(
        name="pwws",
        source="Ren et al., Generating Adversarial Examples through Probability Weighted Word Saliency (P19-1103)",
        goal=given.goal,
        transformation=given.neighbour_words(),
        constraints=given.constraints(),
        search=GreedyBySaliency(),
    )


def beam(given: Ingredients) -> Attack:
    """Neighbours of all words at every step, the best few versions kept: the strongest of the black-box ones."""
    return Attack(
        name="beam",
        source="beam search over word substitutions; compare Alzantot et al. (1804.07998), who use a genetic search",
        goal=given.goal,
        transformation=given.neighbour_words(),
        constraints=given.constraints(),
        search=Beam(width=3),
    )


def hotflip(given: Ingredients) -> Attack:
    """Ebrahimi et al.: a beam over the replacements that the gradient at the embeddings holds for the best."""
    require_white_box(given.classifier, "the attack hotflip")
    return Attack(
        name="hotflip",
        source="Ebrahimi et al., HotFlip: White-Box Adversarial Examples for Text Classification (1712.06751)",
        goal=given.goal,
        transformation=given.neighbour_words(),
        constraints=given.constraints(),
        search=Beam(width=3, guided=10),
    )


def bae(given: Ingredients) -> Attack:
    """Garg and Ramakrishnan: score words by leaving them out, replace them by what a masked model puts there."""
    return Attack(
        name="bae",
        source="Garg and Ramakrishnan, BAE: BERT-based Adversarial Examples (2004.01970), BAE-R",
        goal=given.goal,
        transformation=given.masked_words(),
        constraints=given.constraints(),
        search=GreedyByImportance(),
    )


def _imperceptible(given: Ingredients, name: str, edits: ImperceptibleEdits) -> Attack:
    return Attack(
        name=name,
        source="Boucher et al., Bad Characters: Imperceptible NLP Attacks (2106.09898)",
        goal=given.goal,
        transformation=edits,
        constraints=given.constraints(),
        search=GreedyByImportance(),
    )


def invisible(given: Ingredients) -> Attack:
    """Boucher et al.: characters without width, in the words whose leaving out matters most."""
    return _imperceptible(given, "invisible", INVISIBLE)


def homoglyph(given: Ingredients) -> Attack:
    """Boucher et al.: letters of other alphabets that look the same, in the words that matter most."""
    return _imperceptible(given, "homoglyph", HOMOGLYPH)


def reordering(given: Ingredients) -> Attack:
    """Boucher et al.: letters in another order than they are shown in, in the words that matter most."""
    return _imperceptible(given, "reordering", REORDERING)


def deletion(given: Ingredients) -> Attack:
    """Boucher et al.: letters that a backspace deletes, in the words that matter most."""
    return _imperceptible(given, "deletion", DELETION)


IMPERCEPTIBLE = (invisible, homoglyph, reordering, deletion)
RECIPES: Mapping[str, Callable[[Ingredients], Attack]] = {
    recipe.__name__: recipe for recipe in (deepwordbug, textfooler, pwws, beam, hotflip, bae, *IMPERCEPTIBLE)
}
"""Attacks on the text by name; "pgd" beside them is on the embeddings."""
