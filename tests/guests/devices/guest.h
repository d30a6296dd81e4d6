/*
 * What the parts of this guest share: a multiboot kernel that goes through the devices of a PC from
 * inside, and says of each piece whether it is as its data sheet has it. 32 bits, no paging.
 */
#ifndef TESTS_GUESTS_DEVICES_GUEST_H
#define TESTS_GUESTS_DEVICES_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* What is tested, and the verdict. */
struct piece {
	const char *name;
	bool (*works)(void);
};

extern const struct piece firmware_pieces[], timer_pieces[], controller_pieces[], apic_pieces[];

/* ---- the processor ---- */

static inline void outb(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void outw(uint16_t port, uint16_t value)
{
	__asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline void outl(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
	uint8_t value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint16_t inw(uint16_t port)
{
	uint16_t value;

	__asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint32_t inl(uint16_t port)
{
	uint32_t value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
	return value;
}

static inline uint32_t mmio_read(uintptr_t address)
{
	return *(volatile uint32_t *)address;
}

static inline void mmio_write(uintptr_t address, uint32_t value)
{
	*(volatile uint32_t *)address = value;
}

static inline uint64_t rdmsr(uint32_t msr)
{
	uint64_t value;

	__asm__ volatile("rdmsr" : "=A"(value) : "c"(msr));
	return value;
}

static inline void wrmsr(uint32_t msr, uint64_t value)
{
	__asm__ volatile("wrmsr" : : "A"(value), "c"(msr));
}

static inline void cpuid(uint32_t leaf, uint32_t out[4])
{
	__asm__ volatile("cpuid"
			 : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3])
			 : "a"(leaf), "c"(0));
}

/* ---- main.c ---- */

/* Interrupts of the processor that calls it go to interrupt(). */
void load_idt(void);

/* How often each vector has come. Any processor. */
extern volatile uint32_t taken[256];
/* The interrupt controller that a vector's handler ends it at. */
enum eoi { EOI_NONE, EOI_PIC, EOI_APIC };
void set_eoi(uint8_t vector, enum eoi eoi);

/* Microseconds by the ACPI timer since an earlier time of it; at most some seconds. */
uint32_t pm_time(void);
uint32_t us_since(uint32_t pm_time);
void sleep_us(uint32_t us);

/* Interrupts are on while one waits, and off elsewhere. */
/* Have COUNT interrupts of VECTOR come since taken[VECTOR] was FROM, at the latest after three
 * seconds?
 */
bool comes(uint8_t vector, uint32_t from, uint32_t count);
/* What is pending comes; elsewhere IF is clear. */
void let_interrupts_in(void);
/* Did none come in 5 ms? */
bool stays_away(uint8_t vector);

struct boot_info {
	const char *cmdline;
	uint32_t memory; /* bytes from 0 on, below 4 GiB */
	uint32_t cpus;	 /* by the MADT */
};
extern struct boot_info boot;

/* A table of ACPI by its signature, or NULL. firmware.c */
const void *acpi_table(const char *signature);

/* controllers.c: the 8259 pair with vectors 20h to 2fh, all masked but the inputs of ENABLED. */
#define PIC_VECTOR 0x20
void pic_init(uint16_t enabled);
/* I/O APIC entries as the data sheet has them, redirected to processor DEST. */
void ioapic_set(unsigned int pin, uint32_t low, uint8_t dest);
uint32_t ioapic_get(unsigned int pin);
#define IOAPIC_MASKED 0x10000u
#define IOAPIC_LEVEL  0x8000u
#define IOAPIC_EXTINT 0x700u

/* The local APIC's registers, where they are now. */
#define APIC 0xfee00000u
uint32_t apic_get(uint32_t reg);
void apic_set(uint32_t reg, uint32_t value);
enum {
	APIC_ID = 0x20,
	APIC_VERSION = 0x30,
	APIC_TPR = 0x80,
	APIC_PPR = 0xa0,
	APIC_EOI = 0xb0,
	APIC_LDR = 0xd0,
	APIC_DFR = 0xe0,
	APIC_SVR = 0xf0,
	APIC_ESR = 0x280,
	APIC_ICR_LOW = 0x300,
	APIC_ICR_HIGH = 0x310,
	APIC_LVT_TIMER = 0x320,
	APIC_LINT0 = 0x350,
	APIC_LINT1 = 0x360,
	APIC_LVT_ERROR = 0x370,
	APIC_INITIAL = 0x380,
	APIC_CURRENT = 0x390,
	APIC_DIVIDE = 0x3e0,
};

#endif
