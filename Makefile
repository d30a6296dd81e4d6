# Socle's build. `make help` lists what can be made.
VERSION := 0.1.0

CC := gcc
NASM := nasm
IASL := iasl
LD := ld
OBJCOPY := objcopy
CLANG_FORMAT := clang-format
PYTHON := /usr/bin/python3
HOSTCC := gcc

# Everything below is made from these folders: each *.c and *.asm in them is part of the hypervisor, except offsets.c,
# from which numbers for the assembler are made.
HV_DIRS := lib config arch/x86 core emul vmx svm devices guest boot efi
B := build
GEN := $(B)/gen

# Two builds are the same bytes: no clock, no path, no locale.
export SOURCE_DATE_EPOCH := 1700000000
export LC_ALL := C
export TZ := UTC

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:

# `make V=1` shows each command; otherwise only what is being made.
ifeq ($(V),)
Q := @
say = @printf '  %-8s%s\n' $(1) $(or $(2),$@)
endif

cc-option = $(shell $(CC) -Werror $(1) -x c -c /dev/null -o /dev/null 2>/dev/null && echo $(1))

WARN := -Wall -Wextra -Werror
COMMON_CFLAGS := -std=gnu11 -I. -I$(GEN) -DSOCLE_VERSION='"$(VERSION)"' -ffile-prefix-map=$(CURDIR)=. $(WARN)
# gcc 12's own for small.
SMALL := $(or $(call cc-option,-Oz),-Os)
# Measured: each is 0.5 KiB or more less in the files that are to be small.
SMALLER := -fno-caller-saves -fno-move-loop-invariants -fno-ipa-sra
HV_CFLAGS := $(COMMON_CFLAGS) $(SMALL) $(SMALLER) -g -ffreestanding -fstack-protector-strong \
	-mstack-protector-guard=global -fpic -fshort-wchar \
	-mindirect-branch=thunk-extern -mindirect-branch-register -mno-red-zone -mgeneral-regs-only \
	-fno-strict-aliasing -fno-asynchronous-unwind-tables -malign-data=abi -include lib/hidden.h
EFI_INCLUDES := -I/usr/include/efi -I/usr/include/efi/x86_64 -DGNU_EFI_USE_MS_ABI
EFI_CFLAGS := $(EFI_INCLUDES) $(call cc-option,-maccumulate-outgoing-args)
NASMFLAGS := -f elf64 -g -F dwarf -I. -I$(GEN)/ --reproducible

HV_C := $(filter-out %/offsets.c,$(wildcard $(HV_DIRS:%=%/*.c)))
HV_ASM := $(wildcard $(HV_DIRS:%=%/*.asm))
HV_OBJS := $(HV_C:%.c=$(B)/hv/%.o) $(HV_ASM:%.asm=$(B)/hv/%.asm.o)
OFFSETS_C := $(wildcard $(HV_DIRS:%=%/offsets.c))
OFFSETS_INC := $(foreach f,$(OFFSETS_C),$(GEN)/$(notdir $(f:%/offsets.c=%))_offsets.inc)
ASL := $(wildcard guest/*.asl)
ASL_H := $(ASL:guest/%.asl=$(GEN)/%.h)
# Spleen, which has Socle's own licence (BSD-2-Clause), of Debian's package fonts-spleen.
FONT := /usr/share/consolefonts/spleen-8x16.psfu.gz
FONT_H := $(GEN)/console_font.h
GEN_H := $(ASL_H) $(FONT_H)

GUEST_BINS := $(patsubst tests/guests/%.asm,$(B)/guests/%.bin,$(wildcard tests/guests/*.asm)) \
	$(B)/guests/conform32.bin $(B)/guests/conform64.bin $(B)/guests/conform32.disk $(B)/guests/conform64.disk
# On tests/guests/rt, in C.
C_GUESTS := attack fuzz witness
GUEST_BINS += $(C_GUESTS:%=$(B)/guests/%.elf) $(B)/guests/devices.elf

.PHONY: all efi img checker guests hooks help
all: efi checker img
efi: $(B)/socle.efi
img: $(B)/socle.img
checker: $(B)/socle-config
guests: $(GUEST_BINS)

help:
	@echo 'make             build/socle.efi, build/socle.img, build/socle-config'
	@echo 'make run         boot the sample machine (installs what is missing)'
	@echo 'make test        all tests that fit 40 minutes; test-quick: 2 minutes; test-all: everything'
	@echo 'make units       build the unit tests; make unit-NAME builds and runs tests/unit/test_NAME.c'
	@echo 'make fuzz        fuzzers, FUZZ_SECONDS=600 each; FUZZ=name for one of tests/fuzz/fuzz_NAME.c'
	@echo 'make coverage    lines that unit tests and fuzzers execute, by folder'
	@echo 'make bench       what exits cost, beside KVM; bench-exits: ours alone, against the targets'
	@echo 'make check       include rules, stand-alone headers, sizes of files and functions'
	@echo 'make fmt         format the C files with clang-format'
	@echo 'make clean'

# ---- the hypervisor ---------------------------------------------------------------------------------------------

# What runs between an exit and the next entry is made to be fast, all else to be small. The stack protector guards its
# arrays, and not each local variable whose address is taken. Nothing is aligned: fewer lines of cache, and no NOPs.
HOT_C := lib/string.c arch/x86/tsc.c arch/x86/percpu.c \
	$(addprefix core/,bus.c clock.c event.c gmem.c lapic.c lapic_irq.c lapic_timer.c mov.c \
	msr.c run.c sched.c) $(addprefix vmx/,events.c run.c state.c) \
	$(addprefix svm/,event.c exit.c run.c state.c) \
	$(addprefix devices/,acpi_pm.c ioapic.c uart16550.c)
$(HOT_C:%.c=$(B)/hv/%.o): private HV_CFLAGS := \
	$(patsubst $(SMALL),-O2,$(patsubst -fstack-protector-strong,-fstack-protector,$(filter-out $(SMALLER),$(HV_CFLAGS)))) \
	-falign-functions=1 -falign-jumps=1 -falign-loops=1 -falign-labels=1
# Functions for a rare case are not repeated in each that calls them; elsewhere an exit goes through too many of them.
$(patsubst %.c,$(B)/hv/%.o,$(filter svm/%,$(HOT_C))): private HV_CFLAGS += --param=max-inline-insns-auto=4

# gcc would turn the loops of memcpy and memset into calls of themselves.
$(B)/hv/lib/string.o: private HV_CFLAGS += $(call cc-option,-fno-tree-loop-distribute-patterns)
$(B)/hv/efi/%.o: private HV_CFLAGS += $(EFI_CFLAGS)
# In folders where no exit goes through, two more passes are not worth their room.
$(foreach d,boot config efi guest,$(B)/hv/$d/%.o): private HV_CFLAGS += -fno-tree-loop-im -fno-tree-dominator-opts

$(B)/hv/%.o: %.c Makefile | $(GEN_H)
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(HV_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/hv/%.asm.o: %.asm Makefile $(OFFSETS_INC)
	@mkdir -p $(@D)
	$(call say,NASM)
	$(Q)$(NASM) $(NASMFLAGS) -MD $(@:.o=.d) -MT $@ -o $@ $<

# X/offsets.c holds asm statements that print "->NAME VALUE" lines into the compiler's assembly output; they become
# `NAME equ VALUE` in build/gen/X_offsets.inc, so that no structure offset is ever typed by hand.
define offsets_rule
$(GEN)/$(notdir $(1:%/offsets.c=%))_offsets.inc: $(1) Makefile | $(GEN_H)
	@mkdir -p $$(@D) $(B)/hv/$(dir $(1))
	$$(call say,OFFSETS)
	$(Q)$(CC) $(filter-out -g,$(HV_CFLAGS)) -MMD -MP -MT $$@ -MF $(B)/hv/$(1:.c=.d) -S -o $$(@:.inc=.s) $$<
	$(Q)sed -n 's/^[[:space:]]*->\([A-Za-z_][A-Za-z0-9_]*\)[[:space:]]\+\$$$$\?\(-\?[0-9]\+\).*/\1 equ \2/p' $$(@:.inc=.s) >$$@
	@test -s $$@ || { echo '$(1): no "->NAME VALUE" line came out' >&2; exit 1; }
endef
$(foreach f,$(OFFSETS_C),$(eval $(call offsets_rule,$(f))))

# guest/NAME.asl becomes build/gen/NAME.h with `static const unsigned char NAME_aml[]`; its length is sizeof.
$(GEN)/%.h: guest/%.asl Makefile
	@mkdir -p $(@D)
	$(call say,IASL)
	$(Q)$(IASL) -vs -va -p $(GEN)/$* $< >$(GEN)/$*.iasl.log || { cat $(GEN)/$*.iasl.log >&2; exit 1; }
	$(Q){ echo '/* Made from $<. */'; echo 'static const unsigned char $*_aml[] = {'; \
	  od -An -v -tx1 $(GEN)/$*.aml | sed 's/ \(..\)/ 0x\1,/g'; echo '};'; } >$@

$(FONT_H): tools/mkfont.py $(FONT) Makefile
	@mkdir -p $(@D)
	$(call say,FONT)
	$(Q)$(PYTHON) tools/mkfont.py $(FONT) >$@

# The names of its own functions are part of the image, for panic(): linked once without, then with the table that the
# first image's symbols make. The table is data behind the text, so that no function moves.
LINK := $(LD) -nostdlib -znocombreloc -znoexecstack -shared -Bsymbolic --no-undefined --build-id=none --hash-style=sysv \
	-T efi/socle.lds

$(GEN)/symbols-none.c: tools/mksymbols.py Makefile
	@mkdir -p $(@D)
	$(Q)$(PYTHON) tools/mksymbols.py >$@

$(B)/%.o: $(GEN)/%.c
	$(Q)$(CC) $(HV_CFLAGS) -c -o $@ $<

# $(call link_rule,NAME,object more,options of ld more): build/NAME.so, from which build/NAME.efi is made.
define link_rule
$(B)/$(1).first.so: $(HV_OBJS) $(2) $(B)/symbols-none.o efi/socle.lds
	@mkdir -p $$(@D)
	$(Q)$(LINK) $(3) -o $$@ /usr/lib/crt0-efi-x86_64.o $(HV_OBJS) $(2) $(B)/symbols-none.o -L/usr/lib -lgnuefi

$(GEN)/$(subst /,-,$(1)).symbols.c: $(B)/$(1).first.so tools/mksymbols.py
	$(Q)$(PYTHON) tools/mksymbols.py $$< >$$@

$(B)/$(1).so: $(HV_OBJS) $(2) $(B)/$(subst /,-,$(1)).symbols.o efi/socle.lds
	$$(call say,LD)
	$(Q)$(LINK) $(3) -o $$@ /usr/lib/crt0-efi-x86_64.o $(HV_OBJS) $(2) $(B)/$(subst /,-,$(1)).symbols.o \
		-L/usr/lib -lgnuefi
	$(Q)$(PYTHON) tools/mksymbols.py $$@ | cmp -s - $(GEN)/$(subst /,-,$(1)).symbols.c || \
		{ echo '$(1): functions moved between the two links' >&2; exit 1; }
endef
$(eval $(call link_rule,socle,,))

# tests/hooks/X.c replaces functions of the hypervisor, named in its first comment, in an image of its own for tests:
# /* wraps: pc_init */ makes callers of pc_init() call __wrap_pc_init().
HOOKS := $(patsubst tests/hooks/%.c,%,$(wildcard tests/hooks/*.c))
hook_wraps = $(shell sed -n '0,/\*\//{s|.*wraps:||;s|\*/.*||;p}' tests/hooks/$(1).c)
$(foreach h,$(HOOKS),$(eval $(call link_rule,hooks/$(h),$(B)/hv/tests/hooks/$(h).o,$(patsubst %,--wrap=%,$(call hook_wraps,$(h))))))
hooks: $(HOOKS:%=$(B)/hooks/%.efi)

$(B)/%.efi: $(B)/%.so tools/pe-finish.py
	$(call say,OBJCOPY)
	$(Q)$(OBJCOPY) -j .text -j .rodata -j .relro -j .data -j .reloc -j .dynamic -j .rela \
		--strip-all --target efi-app-x86_64 --section-alignment 4096 $< $@.tmp
	$(Q)$(PYTHON) tools/pe-finish.py $@.tmp
	$(Q)mv $@.tmp $@

# ---- for the build machine --------------------------------------------------------------------------------------

HOST_CFLAGS := $(COMMON_CFLAGS) -O2 -g
CHECKER_C := tools/socle-config.c $(wildcard config/*.c) $(filter-out lib/string.c,$(wildcard lib/*.c))
CHECKER_OBJS := $(CHECKER_C:%.c=$(B)/host/%.o)

$(B)/host/%.o: %.c Makefile
	@mkdir -p $(@D)
	$(call say,HOSTCC)
	$(Q)$(HOSTCC) $(HOST_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/socle-config: $(CHECKER_OBJS)
	$(call say,HOSTLD)
	$(Q)$(HOSTCC) -o $@ $(CHECKER_OBJS)

# tests/unit/test_X.c names in its first line what it is linked with: /* links: devices/pit.c core/bus.c */
UNIT_CFLAGS := $(COMMON_CFLAGS) -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all
UNIT_LIBS := -lcmocka
UNIT_TESTS := $(patsubst tests/unit/test_%.c,%,$(wildcard tests/unit/test_*.c))
UNIT_BINS := $(UNIT_TESTS:%=$(B)/unit/test_%)
unit_links = $(shell sed -n '1s|.*links:\(.*\)\*/.*|\1|p' tests/unit/test_$(1).c)

$(B)/unit/obj/%.o: %.c Makefile | $(GEN_H)
	@mkdir -p $(@D)
	$(call say,HOSTCC)
	$(Q)$(HOSTCC) $(UNIT_CFLAGS) -MMD -MP -c -o $@ $<

# A file named lib*.a or -lX in the links line is passed to the linker as it is.
define unit_rule
$(B)/unit/test_$(1): $(B)/unit/obj/tests/unit/test_$(1).o $(patsubst %.c,$(B)/unit/obj/%.o,$(filter %.c,$(call unit_links,$(1))))
	$$(call say,HOSTLD)
	$(Q)$(HOSTCC) $(UNIT_CFLAGS) -o $$@ $$^ $(filter -l%,$(call unit_links,$(1))) $(UNIT_LIBS)
.PHONY: unit-$(1)
unit-$(1): $(B)/unit/test_$(1)
	$$<
endef
$(foreach t,$(UNIT_TESTS),$(eval $(call unit_rule,$(t))))
.PHONY: units
units: $(UNIT_BINS)

# tests/fuzz/fuzz_X.c names what it is linked with in the same way; built with clang, for libFuzzer. The UEFI
# application's files are compiled for the build machine with the firmware's types.
FUZZ_CC := clang
FUZZ_CFLAGS := $(COMMON_CFLAGS) -Wno-unknown-warning-option -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all
FUZZ_TARGETS := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
FUZZ_BINS := $(FUZZ_TARGETS:%=$(B)/fuzz/fuzz_%)
fuzz_links = $(shell sed -n '1s|.*links:\(.*\)\*/.*|\1|p' tests/fuzz/fuzz_$(1).c)

$(B)/fuzz/obj/efi/%.o $(B)/fuzz/obj/tests/fuzz/fuzz_memmap.o: private FUZZ_CFLAGS += -fshort-wchar $(EFI_INCLUDES)
$(B)/fuzz/obj/%.o: %.c Makefile | $(GEN_H)
	@mkdir -p $(@D)
	$(call say,CLANG)
	$(Q)$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<

define fuzz_rule
$(B)/fuzz/fuzz_$(1): $(B)/fuzz/obj/tests/fuzz/fuzz_$(1).o $(patsubst %.c,$(B)/fuzz/obj/%.o,$(filter %.c,$(call fuzz_links,$(1))))
	$$(call say,CLANG)
	$(Q)$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer -o $$@ $$^ $(filter -l%,$(call fuzz_links,$(1)))
endef
$(foreach t,$(FUZZ_TARGETS),$(eval $(call fuzz_rule,$(t))))
.PHONY: fuzzers fuzz
fuzzers: $(FUZZ_BINS)

# make fuzz [FUZZ=name] [FUZZ_SECONDS=n]: all of them, two at once; what is found stays in build/fuzz.
FUZZ_SECONDS ?= 600
fuzz:
	@tools/setup.sh
	@$(MAKE) $(if $(FUZZ),$(FUZZ:%=$(B)/fuzz/fuzz_%),fuzzers)
	@$(PYTHON) tools/fuzz.py --seconds $(FUZZ_SECONDS) $(FUZZ)

.PHONY: coverage
coverage: $(GEN_H)
	@tools/setup.sh
	@$(PYTHON) tools/coverage.py

# ---- images and guests ------------------------------------------------------------------------------------------

$(B)/guests/%.bin: tests/guests/%.asm Makefile
	@mkdir -p $(@D)
	$(call say,NASM)
	$(Q)$(NASM) -f bin -I tests/guests/ -MD $(@:.bin=.d) -MT $@ -o $@ $<

# A guest in C, for both modes; and as a disk that it boots from without Socle.
CONFORM_CFLAGS := -std=gnu11 $(WARN) -O1 -ffreestanding -fno-pic -fno-pie -fno-stack-protector -mgeneral-regs-only \
	-mno-red-zone -fno-asynchronous-unwind-tables -fno-strict-aliasing
CONFORM_32 := start32 lib cases32 tasks modes32
CONFORM_64 := start64 lib cases64 identity64 registers64 debug64 memory64 processors64

define conform_rules
$(B)/conform$(1)/%.o: tests/guests/conform/%.c Makefile
	@mkdir -p $$(@D)
	$$(call say,CC)
	$(Q)$(CC) $(CONFORM_CFLAGS) -m$(1) -MMD -MP -c -o $$@ $$<

$(B)/conform$(1)/%.o: tests/guests/conform/%.asm Makefile
	@mkdir -p $$(@D)
	$$(call say,NASM)
	$(Q)$(NASM) -f $(2) -I. -MD $$(@:.o=.d) -MT $$@ -o $$@ $$<

$(B)/guests/conform$(1).bin: $(CONFORM_$(1):%=$(B)/conform$(1)/%.o) tests/guests/conform/conform.lds
	@mkdir -p $$(@D)
	$$(call say,LD)
	$(Q)$(LD) -m $(3) -nostdlib -z noexecstack --no-warn-rwx-segments -T tests/guests/conform/conform.lds -o $(B)/conform$(1)/guest.elf $$(filter %.o,$$^)
	$(Q)$(OBJCOPY) -O binary $(B)/conform$(1)/guest.elf $$@
endef
$(eval $(call conform_rules,32,elf32,elf_i386))
$(eval $(call conform_rules,64,elf64,elf_x86_64))

$(B)/guests/%.disk: tests/guests/conform/bios.asm $(B)/guests/%.bin Makefile
	$(call say,NASM)
	$(Q)$(NASM) -f bin -DIMAGE='"$(B)/guests/$*.bin"' -o $@ $<

GUEST_CFLAGS := -std=gnu11 -I. -O1 -ffreestanding -fno-stack-protector -fno-pic -fno-strict-aliasing -mno-red-zone \
	-mgeneral-regs-only -fno-asynchronous-unwind-tables -fcf-protection=none $(WARN)
guest_objs = $(patsubst tests/guests/%,$(B)/guests/obj/%.o,$(wildcard tests/guests/$(1)/*.c tests/guests/$(1)/*.asm))

$(B)/guests/obj/%.c.o: tests/guests/%.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(GUEST_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/guests/obj/%.asm.o: tests/guests/%.asm Makefile
	@mkdir -p $(@D)
	$(call say,NASM)
	$(Q)$(NASM) -f elf64 -I. -MD $(@:.o=.d) -MT $@ -o $@ $<

define c_guest_rule
$(B)/guests/$(1).elf: $(call guest_objs,rt) $(call guest_objs,$(1)) tests/guests/rt/rt.ld
	$$(call say,LD)
	$(Q)$(LD) -nostdlib -static -z max-page-size=4096 -z noexecstack --build-id=none --no-warn-rwx-segments \
		-T tests/guests/rt/rt.ld -o $$@ $(call guest_objs,rt) $(call guest_objs,$(1))
endef
$(foreach g,$(C_GUESTS),$(eval $(call c_guest_rule,$(g))))

# A multiboot kernel in C.
DEVICES_OBJS := $(patsubst tests/guests/devices/%.c,$(B)/guests/devices/%.o,$(wildcard tests/guests/devices/*.c))
DEVICES_CFLAGS := -m32 -std=gnu11 -I. $(WARN) -O2 -ffreestanding -fno-pic -fno-stack-protector -mgeneral-regs-only \
	-fno-asynchronous-unwind-tables

$(B)/guests/devices/%.o: tests/guests/devices/%.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) $(DEVICES_CFLAGS) -MMD -MP -c -o $@ $<

$(B)/guests/devices/start.o: tests/guests/devices/start.asm Makefile
	@mkdir -p $(@D)
	$(call say,NASM)
	$(Q)$(NASM) -f elf32 -o $@ $<

# The multiboot header must come first.
$(B)/guests/devices.elf: $(B)/guests/devices/start.o $(DEVICES_OBJS)
	$(call say,LD)
	$(Q)$(LD) -m elf_i386 -N -Ttext 0x200000 -e start --build-id=none --no-warn-rwx-segments -o $@ $^

$(B)/guest/vmlinuz $(B)/guest/initrd.gz &: tools/mkguest.sh tools/mkinitrd.py
	tools/mkguest.sh -o $(B)/guest

$(B)/guest-generic/vmlinuz $(B)/guest-generic/initrd.gz &: tools/mkguest.sh tools/mkinitrd.py
	tools/mkguest.sh -o $(B)/guest-generic --flavour generic

$(B)/guest-rt/vmlinuz $(B)/guest-rt/initrd.gz &: tools/mkguest.sh tools/mkinitrd.py
	tools/mkguest.sh -o $(B)/guest-rt --flavour rt

$(B)/guest-memtest/vmlinuz: tools/mkguest.sh
	tools/mkguest.sh -o $(B)/guest-memtest --flavour memtest

$(B)/socle.img: $(B)/socle.efi config/samples/sample.cfg $(B)/guest/vmlinuz $(B)/guest/initrd.gz tools/mkimg.sh
	$(call say,IMAGE)
	$(Q)tools/mkimg.sh -o $@ --efi $(B)/socle.efi -c config/samples/sample.cfg $(B)/guest/vmlinuz $(B)/guest/initrd.gz

# ---- the benchmark ----------------------------------------------------------------------------------------------

# All sides run the same guest and the same Linux, whose first process is init; the loader starts them where there is no
# hypervisor, and a Linux with KVM and the program that drives it.
BENCH := $(B)/bench

$(BENCH)/guest.bin: bench/guest.asm Makefile
	@mkdir -p $(@D)
	$(NASM) -f bin -o $@ $<

# The same, which does nothing for three times as long: what it is left for then is in the difference.
$(BENCH)/guest-long.bin: bench/guest.asm Makefile
	@mkdir -p $(@D)
	$(NASM) -f bin -DSPIN=600000000 -o $@ $<

$(BENCH)/kvm: bench/kvm.c Makefile
	@mkdir -p $(@D)
	$(HOSTCC) $(COMMON_CFLAGS) -O2 -static -o $@ $< -pthread

$(BENCH)/init: bench/init.c Makefile
	@mkdir -p $(@D)
	$(HOSTCC) $(COMMON_CFLAGS) -O2 -static -o $@ $<

$(BENCH)/loader.o: bench/loader.c Makefile
	@mkdir -p $(@D)
	$(CC) $(HV_CFLAGS) -fno-stack-protector -mindirect-branch=keep $(EFI_CFLAGS) -c -o $@ $<

$(BENCH)/loader.efi: $(BENCH)/loader.o
	$(LD) -nostdlib -znocombreloc -znoexecstack -shared -Bsymbolic --no-undefined --build-id=none --hash-style=sysv \
		-T /usr/lib/elf_x86_64_efi.lds -o $(@:.efi=.so) /usr/lib/crt0-efi-x86_64.o $< -L/usr/lib -lgnuefi -lefi
	$(OBJCOPY) -j .text -j .sdata -j .data -j .dynamic -j .dynsym -j .rel -j .rela -j '.rel.*' -j '.rela.*' \
		-j .reloc --target efi-app-x86_64 $(@:.efi=.so) $@

# What Socle's own part of it boots, and then what all of it does.
BENCH_EXITS := $(B)/socle.efi $(BENCH)/guest.bin $(BENCH)/guest-long.bin $(BENCH)/init build/guest/vmlinuz
BENCH_ALL := $(BENCH_EXITS) $(B)/hooks/start_cost.efi $(BENCH)/kvm $(BENCH)/loader.efi

# ---- commands ---------------------------------------------------------------------------------------------------

# The fuzzing guest alone: `make fuzz-guest SEED=7 COUNT=100000 ACCEL=bochs`; TRACE=N names each operation from N on.
SEED := 1
COUNT := 1000000
ACCEL := tcg
.PHONY: fuzz-guest
fuzz-guest: $(B)/socle.efi $(B)/guests/fuzz.elf $(B)/guests/witness.elf
	@FUZZ_SEED=$(SEED) FUZZ_COUNT=$(COUNT) FUZZ_TRACE=$(TRACE) $(PYTHON) -B -m pytest -p no:cacheprovider -q \
		tests/system/test_fuzz_guest.py -k 'test_fuzz and $(ACCEL)'

.PHONY: run test test-quick test-all check fmt clean
run:
	tools/setup.sh
	$(MAKE) all
	tools/run.sh --cpus 2 --memory 1024 $(B)/socle.img

# The runner builds as well: whatever goes wrong, its last line is 'N passed, N failed'.
test test-quick test-all:
	@tools/setup.sh
	@$(PYTHON) tools/test.py $@

.PHONY: bench bench-exits bench-exits-files
bench:
	@tools/setup.sh
	@$(MAKE) $(BENCH_ALL)
	@$(PYTHON) bench/bench.py --build $(B)

bench-exits-files: $(BENCH_EXITS)

bench-exits:
	@tools/setup.sh
	@$(MAKE) bench-exits-files
	@$(PYTHON) -B bench/bench.py --build $(B) --exits-only

check:
	@$(PYTHON) tests/checks/includes.py
	@if [ -e $(B)/socle.so ]; then $(PYTHON) tests/checks/branches.py; fi

fmt:
	$(CLANG_FORMAT) -i $(wildcard $(HV_DIRS:%=%/*.[ch]) tools/*.c tests/unit/*.[ch] tests/unit/support/*.[ch])

clean:
	rm -rf $(B)

-include $(shell find $(B) -name '*.d' 2>/dev/null)
