"""`python -m surgstream` is the `surgstream` command, for torchrun as well."""

import sys

from surgstream.launch.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
