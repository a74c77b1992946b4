"""How categories become numbers inside the model: ranks for trees, dense one-hot columns for linear models."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

EncodingStyle: TypeAlias = Literal["ordinal", "one_hot"]

# Rarer ones are treated as unseen: they are too few to learn from, and one-hot columns stay bounded.
LARGEST_VOCABULARY = 64
# Rows of the overall mean that each category starts with, so that a handful of labels does not decide its rank.
PRIOR_ROWS = 20.0
UNSEEN_RANK = -1.0


@dataclass(frozen=True)
class CategoryEncoding:
    """A fitted encoding of string columns. '' (missing) is a category like any other; what is in no vocabulary is
    unseen: rank -1, or zeros in all of its one-hot columns."""

    style: EncodingStyle
    vocabularies: tuple[tuple[str, ...], ...]
    encoder: OrdinalEncoder | OneHotEncoder | None

    def features(
        self, numbers: npt.NDArray[np.float32], categories: npt.NDArray[np.object_]
    ) -> npt.NDArray[np.float32]:
        """numbers [n, F] and categories [n, C] as one matrix float32 [n, F + width]."""
        if self.encoder is None or len(numbers) == 0:
            return np.hstack([numbers, np.empty((len(numbers), self.width), dtype=np.float32)])
        return np.hstack([numbers, np.asarray(self.encoder.transform(categories), dtype=np.float32)])

    @property
    def width(self) -> int:
        """How many columns the categories become."""
        return sum(len(words) if self.style == "one_hot" else 1 for words in self.vocabularies)


def fit_encoding(
    style: EncodingStyle, categories: npt.NDArray[np.object_], scores: npt.NDArray[np.float64]
) -> CategoryEncoding:
    """The encoding fitted to categories [n, C]; ranks follow the smoothed mean of scores [n].

    Ordering categories by the mean target makes the best binary split of them a threshold (Fisher 1958, "On grouping
    for maximum homogeneity"; Breiman et al. 1984, section 4.2).
    """
    vocabularies = tuple(_vocabulary(categories[:, column], scores) for column in range(categories.shape[1]))
    if not vocabularies:
        return CategoryEncoding(style, (), None)
    lists: Any = [np.array(words, dtype=object) for words in vocabularies]
    encoder: Any
    if style == "ordinal":
        encoder = OrdinalEncoder(categories=lists, handle_unknown="use_encoded_value", unknown_value=int(UNSEEN_RANK))
    else:
        encoder = OneHotEncoder(categories=lists, handle_unknown="ignore", sparse_output=False)
    return CategoryEncoding(style, vocabularies, encoder.fit(categories))


def _vocabulary(column: npt.NDArray[np.object_], scores: npt.NDArray[np.float64]) -> tuple[str, ...]:
    count: defaultdict[str, int] = defaultdict(int)
    total: defaultdict[str, float] = defaultdict(float)
    for word, score in zip(column.tolist(), scores.tolist(), strict=True):
        count[word] += 1
        total[word] += score
    prior = PRIOR_ROWS * float(np.mean(scores))
    kept = sorted(count, key=lambda word: (-count[word], word))[:LARGEST_VOCABULARY]
    return tuple(sorted(kept, key=lambda word: ((total[word] + prior) / (count[word] + PRIOR_ROWS), word)))
