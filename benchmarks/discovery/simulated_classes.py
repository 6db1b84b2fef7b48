"""How well the head that learnt simulated classes names real glitches.

    python -m benchmarks.discovery.simulated_classes ../shared/data/gravityspy_images CHECKPOINT...

Each CHECKPOINT (a run or an exported folder) is judged on the fold of groups held out of its own
training, without any human label: accuracy / balanced accuracy among the classes that it knows, by
probability, and by class. Held-out glitches of several CHECKPOINTs with different folds are pooled.
If a checkpoint was trained on all pictures, all are used, and the title says so. "Others" are
glitches of no simulated class, such as None_of_the_Above and the hidden class of a run that was
trained without one: the fraction of them with a high probability is the fraction of wrong names
that look certain.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import balanced_accuracy_score

from benchmarks.machine import heading
from glitch.model import ViewsModel
from training.data.pack import Pack
from training.data.real_images import read_real_images
from training.data.split import split_real
from training.evaluation.encoding import encode_pack, single_views
from training.evaluation.examination import load_judged

BOUNDS = (0.0, 0.5, 0.8, 0.95, 1.01)


@dataclass(frozen=True, eq=False)
class Named:
    """Glitches with their label, the name given, and its probability."""

    labels: np.ndarray
    names: np.ndarray
    probabilities: np.ndarray
    is_known: np.ndarray  # whether the head knows the label

    @classmethod
    def by(cls, model: ViewsModel, pack: Pack, shown: np.ndarray | None = None) -> Named:
        """Name each glitch from its views, or from those in ``shown``."""
        means = torch.from_numpy(encode_pack(model, pack, shown).mean)
        with torch.inference_mode():
            found = model.class_probabilities(means)
        if found is None:
            raise SystemExit("This checkpoint knows no simulated classes.")
        classes, probabilities = np.array(found[0]), found[1].numpy()
        labels = np.array(pack.labels)
        names = classes[probabilities.argmax(axis=1)]
        return cls(labels, names, probabilities.max(axis=1), np.isin(labels, classes))

    @classmethod
    def pooled(cls, parts: list[Named]) -> Named:
        columns = ("labels", "names", "probabilities", "is_known")
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in columns))

    @property
    def is_right(self) -> np.ndarray:
        return np.asarray(self.labels == self.names)


def report(title: str, found: Named) -> None:
    known, is_right = found.is_known, found.is_right
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        balanced = balanced_accuracy_score(found.labels[known], found.names[known])
    print(f"\n{title}: {is_right[known].mean():.3f} / {balanced:.3f} of {known.sum()}\n")
    print("| probability | glitches | right | others |")
    print("| --- | --- | --- | --- |")
    for low, high in pairwise(BOUNDS):
        within = (found.probabilities >= low) & (found.probabilities < high)
        n_right = is_right[within & known].sum()
        n_known = (within & known).sum()
        share = f"{n_right / n_known:.3f}" if n_known else ""
        print(f"| {low:g} to {min(high, 1):g} | {n_known} | {share} | {(within & ~known).sum()} |")


def report_classes(found: Named) -> None:
    print("\n| class | glitches | named so | most often named otherwise |")
    print("| --- | --- | --- | --- |")
    for label in np.unique(found.labels):
        of_class = found.labels == label
        wrong = Counter(found.names[of_class & ~found.is_right].tolist()).most_common(2)
        others = ", ".join(f"{name} {n}" for name, n in wrong)
        right = f"{found.is_right[of_class].mean():.2f}" if found.is_known[of_class].any() else ""
        print(f"| {label} | {of_class.sum()} | {right} | {others} |")


def main() -> None:
    folder, places = Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]]
    print(heading())
    real = read_real_images(folder)
    lone, whole, seen = [], [], False
    for place in places:
        judged = load_judged(place)
        _, held_out = split_real(real, judged.config.data)
        if judged.config.data.split == "none":
            held_out, seen = real, True
        pack, shown, _ = single_views(held_out)
        lone.append(Named.by(judged.model, pack, shown))
        whole.append(Named.by(judged.model, held_out))
    about = "seen in training, without labels" if seen else "held out"
    report(f"single pictures ({about})", Named.pooled(lone))
    report(f"glitches with all views ({about})", Named.pooled(whole))
    report_classes(Named.pooled(whole))


if __name__ == "__main__":
    main()
