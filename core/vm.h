/*
 * What a virtual machine and a virtual processor are.
 *
 * Ownership: a vCPU's fields belong to the core it is loaded on (vcpu->cpu), but for those marked
 * "any core", which are changed with atomic operations. A VM's fields are constant while it runs,
 * but for those marked.
 */
#ifndef CORE_VM_H
#define CORE_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "arch/x86/paging.h"
#include "core/hv_ops.h"
#include "lib/spinlock.h"
#include "lib/util.h"

#define VM_NAME_SIZE 32
#define VM_MAX_VCPUS 128
#define VM_MAX_PIO   32
#define VM_MAX_MMIO  16
/* What the firmware's memory map may be carved into, and one more, since the hole below 4 GiB can
 * cut one in two. */
#define VM_MAX_RAM 65

/* Encoding order of ModRM.reg. */
enum { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, GPR_COUNT };
enum { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, SEG_COUNT };

/* seg.attr: the access rights of SDM vol. 3C 25.4.1: type, S, DPL, P in 7:0; AVL, L, D/B, G in
 * 15:12; unusable in 16. */
#define SEG_ATTR_TYPE	   0x000fu
#define SEG_ATTR_S	   0x0010u
#define SEG_ATTR_DPL(attr) (((attr) >> 5) & 3)
#define SEG_ATTR_P	   0x0080u
#define SEG_ATTR_L	   0x2000u
#define SEG_ATTR_DB	   0x4000u
#define SEG_ATTR_G	   0x8000u
#define SEG_ATTR_UNUSABLE  0x10000u

struct vcpu_seg {
	uint16_t selector;
	uint32_t attr;
	uint32_t limit; /* in bytes, granularity applied */
	uint64_t base;
};

struct vcpu_table {
	uint64_t base;
	uint16_t limit;
};

/* interruptibility: SDM vol. 3C 25.4.2. */
#define INTR_STI	 1u
#define INTR_MOV_SS	 2u
#define INTR_NMI_BLOCKED 8u

struct vcpu_state {
	uint64_t rip, rflags;
	uint64_t cr0, cr2, cr3, cr4, efer;
	struct vcpu_seg seg[SEG_COUNT];
	struct vcpu_table gdtr, idtr;
	uint64_t dr[4], dr6, dr7;
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip;
	uint64_t star, lstar, cstar, sfmask, kernel_gs_base, tsc_aux, pat;
	uint32_t interruptibility;
};

/* vcpu->requests: any core sets bits with vcpu_request(). */
enum {
	REQ_IRQ = 1, /* posted[] has news */
	REQ_NMI = 2,
	REQ_INIT = 4,
	REQ_SIPI = 8,
	REQ_STOP = 16,	/* the VM ends or restarts: park */
	REQ_EVENT = 32, /* an event is queued, or what may enter has changed */
	REQ_YIELD = 64, /* out of the back end's loop: the run loop, or the scheduler, has a look */
	REQ_START = 128, /* a parked vCPU 0 may be reset and run */
	REQ_CLEAN = 256, /* a parked vCPU 0's VM has ended: its memory is zeroed */
	REQ_TIMER = 512, /* the deadline that it wrote to the core's own register has come */
	/* Whatever of these was there before an INIT is not for the state after it. */
	REQ_INIT_ENDS = REQ_NMI | REQ_SIPI
};

enum vcpu_activity {
	VCPU_PARKED,	/* its VM does not run */
	VCPU_WAIT_SIPI, /* after INIT, for an application processor */
	VCPU_HALTED,	/* HLT: until the next event */
	VCPU_ACTIVE
};

/* core/gva.h: a walk of the guest's page tables, and what it depended on. */
#define GVA_LEVELS 4

struct gva_key {
	uint64_t cr0, cr3, cr4, efer;
	uint32_t access;
};

struct gva_slot {
	uint64_t page;			   /* linear address / 4 KiB */
	struct gva_key key;		   /* CR0 is 0 in an empty one, and in no processor (ET) */
	const uint64_t *where[GVA_LEVELS]; /* the entries, in guest memory */
	uint64_t entry[GVA_LEVELS];
	uint64_t gpa;	     /* of the page */
	const uint8_t *host; /* where that is; NULL: no RAM */
};

/* A MOV between a register or a constant and memory: core/mov.c. */
struct mov_slot {
	uint64_t code[2], mask[2]; /* its bytes, and which of them there are */
	uint64_t constant;
	int64_t disp;
	uint8_t length; /* 0: none */
	uint8_t size, reg;
	uint8_t base, index, scale; /* as struct insn's */
	bool write, has_reg;
	bool known_address; /* by the three above alone, in its low bits */
};

struct vcpu {
	/* Reached by the back ends' entry stubs: offsets are generated from here. */
	uint64_t gpr[GPR_COUNT];
	void *hv; /* the back end's own part */

	uint32_t requests;   /* any core */
	uint32_t fast_exits; /* the back end's: left before its inner loop has to end */
	struct vm *vm;
	struct pcpu *cpu;	     /* the core whose queue it is in; constant while the VM runs */
	struct vcpu *next_on_cpu;    /* that queue: core/sched.c */
	uint32_t id;		     /* in its VM, from 0; also its APIC ID */
	enum vcpu_activity activity; /* other cores may read */

	struct vcpu_state st;
	uint32_t st_valid; /* groups of st that equal the hardware's; the back end clears it at each
			      exit */
	uint32_t nmis;	     /* sent, and not yet seen with REQ_NMI: any core */
	uint8_t nmi_pending; /* 2: one to be handled, and one that waits for its IRET */
	struct hv_event pending; /* an exception, or an event to deliver again, before the next
				    instruction */
	uint32_t exception_intercepts;
	uint64_t tsc_offset, tsc_adjust;
	uint64_t debug_met;   /* for DR6: what the instruction that is executed here has met */
	uint64_t stood_still; /* how much of vm->stood_still is in tsc_offset and its timer */
	uint64_t xcr0, xss;
	bool osxsave, ospke; /* the guest's CR4.OSXSAVE and CR4.PKE, for CPUID */
	void *fpu;	     /* XSAVE area while V is off its core */

	struct gva_slot gva[3]; /* core/gva.h: by enum walk_access */
	struct mov_slot mov;	/* the last one that reached a device */
	/* core/bus.c: of the last access, or NULL. */
	uint64_t refused_rip; /* core/mmio.c: of the last instruction that could not be executed */
	uint32_t refused;     /* how often in a row it could not */
	const struct bus_region_slot *pio_last, *mmio_last;

	/* Local APIC (core/lapic.c). */
	uint8_t *apic_page; /* 4 KiB; layout of SDM vol. 3A table 11-1 */
	uint64_t apic_base; /* IA32_APIC_BASE */
	enum apic_mode apic_mode;
	bool vid;		  /* the processor delivers from apic_page by itself */
	uint64_t posted[4];	  /* any core: vectors to be moved to IRR */
	uint64_t posted_level[4]; /* any core: which of them are level-triggered */
	uint8_t sipi_vector;	  /* any core, before REQ_SIPI */
	bool timer_lent;	  /* IA32_TSC_DEADLINE is the core's: core/lapic_timer.c */
	uint64_t tsc_deadline;	  /* else this, guest's TSC; 0: not armed */
	uint64_t timer_deadline;  /* host TSC at which the APIC timer fires next; 0: not armed */
	uint64_t armed;		  /* host TSC at which the guest is left by itself: core/run.c */
	uint64_t timer_period;	  /* in host TSC; 0: one shot */
	uint64_t timer_start;	  /* host TSC at which the current count began */
	uint8_t timer_mode,
		timer_shift;  /* in force: LVT timer mode (bits 18:17), log2 of the divider */
	uint32_t apic_errors; /* any core: ESR bits since ESR was last written */
	uint64_t pv_eoi;      /* MSR_KVM_PV_EOI_EN: address, bit 0: enabled */
	bool eoi_offered;     /* the guest may end the one interrupt in service there */

	/* kvmclock (core/pvclock.c). */
	uint64_t pvclock_gpa; /* MSR value, bit 0: enabled */
	uint32_t pvclock_version;

	/* MSRs that no hardware state holds (core/msr.c). */
	uint64_t mtrr_def, mtrr_fixed[11], mtrr_var[16], misc_enable, mcg_status;

	/* Other cores may read. Costs are in host TSC, and taken while vm->timed. */
	uint64_t exits[EXIT_COUNT];
	uint64_t timed_exits[EXIT_COUNT], exit_cost[EXIT_COUNT];

	/* core/sched.c and core/share.c; in host TSC. */
	uint64_t slice_end;
	uint64_t vtime; /* time used, over the VM's weight */
	bool waiting;	/* it wanted its core when last looked at */
	/* Other cores may read. */
	uint64_t ran;	     /* time on its core, in turns that have ended */
	uint64_t turn_start; /* of the turn it has now; 0: none */
	bool extint;	     /* any core: an I/O APIC has passed on the 8259 pair's interrupt */
	uint32_t asked;	     /* any core: ASK_ bits, with vcpu_ask() */
};

/* What the monitor saw when it last looked; its own. */
struct vm_sample {
	uint64_t at, ran; /* host TSC */
	uint64_t exits;
};

struct vm_ram {
	uint64_t gpa, size;
	uint8_t *hva;
};

struct bus_region; /* core/bus.h */
struct dev_timer;  /* core/devtimer.h */

struct bus_region_slot {
	uint64_t base, size;
	void (*handler)(void *dev, struct vcpu *v, uint64_t offset, bool write, uint8_t size,
			uint64_t *value);
	void *dev;
};

/* Interrupt controllers that take the platform's lines (I/O APIC; later the 8259 pair). Called with
 * dev_lock held. */
struct irq_sink {
	void (*set_line)(void *dev, unsigned int gsi, bool level);
	void (*eoi)(void *dev, uint8_t vector); /* broadcast of a level-triggered vector's end */
	/* Would the GSI's next pulse change nothing? NULL: never. */
	bool (*is_deaf)(void *dev, unsigned int gsi);
	void *dev;
};

/* Who is to be told when a GSI's pulses mean something again; heard is NULL where nobody is. */
struct irq_waiter {
	unsigned int gsi;
	void (*heard)(void *dev);
	void *dev;
};

/* An 8259 pair, on the processors' LINT0. acknowledge is NULL where there is none. */
struct extint {
	bool line; /* INT; any core may read */
	/* An INTA cycle: returns the vector. dev_lock held. */
	uint8_t (*acknowledge)(void *dev);
	void *dev;
};

enum vm_state { VM_OFF, VM_RUNNING, VM_PAUSED, VM_ENDING, VM_ENDED };
/* EXIT: by a status of the guest's own (debug_exit), which is the text that goes with it. */
enum vm_end {
	VM_END_NONE,
	VM_END_SHUTDOWN,
	VM_END_REBOOT,
	VM_END_CRASH,
	VM_END_EXIT,
	VM_END_STOP, /* from outside; this one for good */
	VM_END_RESET
};
enum vm_policy { VM_POLICY_RESTART, VM_POLICY_STOP };

/* What the composition root (boot/) gives a VM. Called on the core of vCPU 0 with no vCPU of the VM
 * running. */
struct vm_hooks {
	/*
	 * Zeroed memory -> loaded guest: writes the image and tables into guest memory and vCPU 0's
	 * entry state into v->st and v->gpr. 0 or negative errno with the reason in WHY.
	 */
	int (*load)(struct vm *vm, struct strbuf *why);
	/* Every device of the VM into its state after power-up. */
	void (*reset_devices)(struct vm *vm);
};

struct vm {
	char name[VM_NAME_SIZE];
	unsigned int index;
	unsigned int vcpu_count;
	struct vcpu *vcpu[VM_MAX_VCPUS];
	uint64_t memory;	       /* bytes of guest RAM */
	struct vm_ram ram[VM_MAX_RAM]; /* ascending by gpa; each contiguous in host memory */
	unsigned int ram_count;
	struct pt npt;	/* EPT or NPT */
	struct pt host; /* page tables while this VM's exits are handled: Socle and this VM, no
			   other */
	void *hv;	/* the back end's own part */
	const struct vm_hooks *hooks;
	void *platform; /* boot/'s: devices and guest image */
	enum vm_policy on_reboot, on_crash;
	bool autostart;
	uint32_t weight; /* against other VMs on the same core; 0 is 100 */
	uint32_t cap;	 /* percent of one processor; 0: none */

	struct spinlock dev_lock; /* guards the devices' state and the bus while the VM runs */
	struct bus_region_slot pio[VM_MAX_PIO], mmio[VM_MAX_MMIO];
	unsigned int pio_count, mmio_count;
	struct irq_sink sink[2];
	unsigned int sink_count;
	struct irq_waiter irq_waiter;
	struct extint extint;
	struct dev_timer *timers; /* core/devtimer.c */
	uint64_t timers_at;	  /* of the first, in host TSC; 0: none. Any core may read */

	struct cpuid_plain *cpuid; /* core/cpuid.c: its table's first part */
	struct console *console;   /* core/console.c; NULL: none */
	uint64_t wall_clock_ns;	   /* time of day since 1970 at host TSC 0 */
	uint64_t tsc_base;	   /* host TSC, and the guest's, when it was started */
	/* Pauses, in host TSC: core/lifecycle.c. Any core. */
	uint64_t stood_still;		/* all of them since tsc_base */
	uint64_t paused_at;		/* since when no vCPU has executed anything */
	uint32_t inside;		/* vCPUs that may be executing something */
	uint64_t unknown_msr_logged[4]; /* a small hash set, so that each is logged once */

	uint32_t state; /* enum vm_state; any core, atomic */
	uint32_t end;	/* enum vm_end; any core, the first one wins */
	char end_why[160];
	uint32_t running_vcpus; /* any core: not yet parked */
	uint32_t crashes;	/* restarts after crashes in a row */
	uint64_t start_at;	/* host TSC before which REQ_START waits */
	uint64_t cleaned;	/* bytes of memory zeroed since the last life: vCPU 0's core */
	uint32_t lives;		/* starts so far; any core may read */
	uint64_t said_until;	/* core/lifecycle.c: messages of starts and ends are rationed */
	uint32_t unsaid;
	uint64_t cap_window; /* any core: host TSC at which the cap's current window began */
	uint64_t cap_used;   /* any core: host TSC ticks used in it */
	bool timed;	     /* any core: what its exits cost is measured */
	/* The monitor's. */
	struct vm_sample sample;
	uint64_t shown_exits, shown_share;
};

/* Sets REQ bits of V and gets it out of the guest, or its core out of idling. From any core. */
void vcpu_request(struct vcpu *v, uint32_t req);
/* How often V has left the guest, for whatever reason. From any core. */
uint64_t vcpu_exits(const struct vcpu *v);
/* Sends an NMI to V. Any core. */
void vcpu_nmi(struct vcpu *v);

/* vcpu->asked: what V's core does the next time V is off the guest, whatever V does then. */
enum { ASK_DUMP = 1 };
/* Sets ASK bits of V and gets its core to see them. From any core. */
void vcpu_ask(struct vcpu *v, uint32_t ask);

/*
 * Queues an exception for V (own core). An exception while another is queued becomes #DF or a
 * triple fault as SDM vol. 3A table 6-5 says.
 */
void vcpu_exception(struct vcpu *v, uint8_t vector, bool has_error, uint32_t error);
void vcpu_page_fault(struct vcpu *v, uint64_t address, uint32_t error);
static inline void vcpu_gp(struct vcpu *v)
{
	vcpu_exception(v, 13, true, 0);
}
static inline void vcpu_ud(struct vcpu *v)
{
	vcpu_exception(v, 6, false, 0);
}

/*
 * Ends VM's run: devices call this on power-off and reset requests, core/ on crashes. From any
 * core, first one wins; returns at once, the vCPUs stop at their next request check. WHY is printed
 * for a crash and for an exit.
 */
void vm_end(struct vm *vm, enum vm_end end, const char *why);

/* Sets an interrupt line of the platform (a GSI). dev_lock held. */
void vm_set_irq(struct vm *vm, unsigned int gsi, bool level);

/* The back end in use; set once at boot. */
extern const struct hv_ops *hv;
extern struct hv_caps hv_caps;

#endif
