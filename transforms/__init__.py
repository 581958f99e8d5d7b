"""One PTransform per file. Importing any of them registers the rows' coders."""

from transforms import coders as coders
