; kind = flat16: asks for a reset through the keyboard controller, port 0x64.
%include "real16.inc"

	START_16
	RESET_BY 0x64, 0xfe

%include "common.inc"

hello:		db "reset_kbd: up", 13, 10, 0
