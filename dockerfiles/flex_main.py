"""What a Flex Template runs: submits the job with the parameters as flags, and ends with a status."""

import sys

from pipelines.recap import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
