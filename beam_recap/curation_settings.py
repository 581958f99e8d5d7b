"""What a run works out once every row has an outcome."""

from __future__ import annotations

from dataclasses import dataclass

from beam_recap.duplicates.settings import DuplicateSettings


@dataclass(frozen=True, slots=True)
class CurationSettings:
    """What is worked out once all rows are known.

    Attributes:
      duplicates: the rules of de-duplication; None: there are none.
      clusters: the folder of a cluster model; None: no labels.
    """

    duplicates: DuplicateSettings | None = None
    clusters: str | None = None

    @property
    def needs_embeddings(self) -> bool:
        """Whether the checkpoint must hold embeddings."""
        return self.clusters is not None or (self.duplicates is not None and self.duplicates.similarity is not None)
