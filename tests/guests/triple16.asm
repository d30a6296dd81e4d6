; kind = flat16: a shutdown. With an empty interrupt table nothing can be delivered, the double fault neither.
%include "real16.inc"

	START_16
	lidt	[empty]
	int	3
	mov	si, survived
	call	puts
	jmp	poweroff

%include "common.inc"

empty:		dw 0
		dd 0
hello:		db "triple16: falling", 13, 10, 0
survived:	db "triple16: still here", 13, 10, 0
