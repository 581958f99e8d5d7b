"""Which rules of de-duplication are on."""

from __future__ import annotations

from dataclasses import dataclass

# The paper of the text-debiased dataset gives none; clip-retrieval's own de-duplication takes 0.94.
DEFAULT_SIMILARITY = 0.94


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateSettings:
    """The rules that are on; None and False are off, as all are by default.

    Attributes:
      rows: of the rows with the same URL and caption keep one.
      images: of the rows with the same image bytes keep one.
      similarity: of the rows of a cluster whose image embeddings are linked by cosines of at least so much keep one;
        in (0, 1].
      max_same_image: reject image bytes that come with more different captions than this; at least 1.
      max_same_caption: reject a caption that comes with more different images than this; at least 1.

    Raises:
      ValueError: a value out of its range.
    """

    rows: bool = False
    images: bool = False
    similarity: float | None = None
    max_same_image: int | None = None
    max_same_caption: int | None = None

    def __post_init__(self) -> None:
        if self.similarity is not None and not 0 < self.similarity <= 1:  # NaN is out as well
            raise ValueError(f"similarity is a cosine above 0 and at most 1, got {self.similarity}")
        for name in ("max_same_image", "max_same_caption"):
            limit = getattr(self, name)
            if limit is not None and (not isinstance(limit, int) or isinstance(limit, bool) or limit < 1):
                raise ValueError(f"{name} is a whole number of at least 1, got {limit!r}")
