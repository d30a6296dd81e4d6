#!/bin/sh
# Boot an image in an emulator, with the serial port on standard input and output: see tools/run.py --help.
exec /usr/bin/python3 "$(dirname "$0")/run.py" "$@"
