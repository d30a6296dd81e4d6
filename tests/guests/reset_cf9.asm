; kind = flat16: asks for a reset through port 0xcf9.
%include "real16.inc"

	START_16
	RESET_BY 0xcf9, 6

%include "common.inc"

hello:		db "reset_cf9: up", 13, 10, 0
