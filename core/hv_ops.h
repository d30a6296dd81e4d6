/*
 * The interface between core/ and a processor back end: vmx/, svm/, and a scripted one in the unit
 * tests.
 *
 * Generic code never asks which vendor it runs on: what a processor can do beyond the required is a
 * bit in hv_caps.features, and everything else is an operation. The inner loop belongs to the back
 * end: it enters the guest, and for the frequent exits calls the handlers in core/exits.h directly,
 * skips the instruction and enters again. run() comes back only for slow work, with the exit as a
 * plain struct.
 *
 * Unless said otherwise an operation on a vCPU is called on the core that has it loaded (load()
 * before, put() not yet), with interrupts off. Errors are negative errno values.
 */
#ifndef CORE_HV_OPS_H
#define CORE_HV_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pcpu;
struct vm;
struct vcpu;
struct strbuf;
struct pt_format;

/* State groups of struct vcpu_state (core/vm.h). The general registers but RSP always live in
 * vcpu->gpr. */
enum {
	ST_RIP = 1,   /* rip, rflags, gpr[RSP] */
	ST_CRS = 2,   /* cr0, cr2, cr3, cr4, efer: the guest's view */
	ST_SEGS = 4,  /* seg[], gdtr, idtr; CPL is seg[SEG_SS].attr's DPL */
	ST_DRS = 8,   /* dr[0..3], dr6, dr7 */
	ST_MSRS = 16, /* SYSENTER, STAR.., KERNEL_GS_BASE, TSC_AUX, PAT */
	ST_INTR = 32, /* interruptibility */
	ST_ALL = 63
};

enum hv_reason {
	EXIT_NONE, /* handled in the inner loop, or a request is pending: look at vcpu->requests */
	EXIT_HOST_IRQ,	    /* a physical interrupt is pending: open the interrupt window */
	EXIT_NMI,	    /* the back end has already run the host's NMI handler */
	EXIT_EXCEPTION,	    /* x->event: an intercepted exception, not yet delivered to the guest */
	EXIT_MACHINE_CHECK, /* the back end has already run the host's #MC handler */
	EXIT_TRIPLE,
	EXIT_INIT, /* a physical INIT reached the core */
	EXIT_SIPI,
	EXIT_INTR_WINDOW,
	EXIT_NMI_WINDOW,
	EXIT_DEADLINE, /* what set_deadline() armed, or as good as that: core/ has its turn */
	EXIT_CPUID,
	EXIT_HLT,
	EXIT_PAUSE,
	EXIT_MONITOR,
	EXIT_MWAIT,
	EXIT_HYPERCALL, /* VMCALL or VMMCALL */
	EXIT_PIO,
	EXIT_CR,
	EXIT_DR,
	EXIT_MSR,
	EXIT_XSETBV,
	EXIT_INVD,
	EXIT_WBINVD,
	EXIT_RDPMC,
	EXIT_INVLPG,
	EXIT_TASK_SWITCH,
	EXIT_NPF,	    /* EPT violation or nested page fault */
	EXIT_NPT_MISCONFIG, /* a defect of the hypervisor's own tables */
	EXIT_APIC,   /* APIC access (completed == false) or trap-like APIC write (completed == true)
		      */
	EXIT_EOI,    /* virtualized EOI of x->vector, which is in eoi_exits() */
	EXIT_TPR,    /* TPR fell below the threshold of set_tpr_threshold() */
	EXIT_NOTIFY, /* no interrupt window for too long */
	EXIT_UD,     /* an instruction of the virtualization extension, or another that gets #UD */
	EXIT_ENTRY_FAILED,
	EXIT_UNKNOWN,
	EXIT_COUNT
};

/* Event types are those of SDM vol. 3C 25.8.3 (VM-entry interruption information) and APM vol.
 * 2 15.20 alike. */
enum hv_event_type {
	EVENT_INTR = 0,
	EVENT_NMI = 2,
	EVENT_EXCEPTION = 3,
	EVENT_SOFT_INTR = 4,	 /* INT n: needs insn_len */
	EVENT_PRIV_SOFT_EXC = 5, /* INT1 */
	EVENT_SOFT_EXC = 6	 /* INT3, INTO */
};

struct hv_event {
	bool valid;
	bool has_error;
	uint8_t vector, type, insn_len;
	uint32_t error;
};

/* What an exit was, in neutral terms. Only what the reason needs is filled in. */
struct hv_exit {
	enum hv_reason reason;
	uint8_t insn_len;	   /* 0: hardware does not say, decode */
	struct hv_event vectoring; /* the event whose delivery was cut short. The back end reports
				      it and forgets it; core/ queues it again */
	union {
		struct {
			uint16_t port;
			uint8_t size; /* 1, 2, 4 */
			uint8_t seg; /* string OUTS: segment register, encoding order ES CS SS DS FS
					GS */
			uint8_t addr_size; /* string: 2, 4, 8 */
			bool in, string, rep;
			bool decode; /* string: seg and addr_size unknown, decode the instruction */
		} pio;
		struct {
			uint64_t gpa, gla;
			bool write, fetch, gla_valid;
			bool table_walk; /* the access was to the guest's own page tables */
		} npf;
		struct {
			uint16_t offset;
			bool write, completed;
		} apic;
		struct {
			uint32_t index;
			bool write;
		} msr;
		struct {
			uint8_t reg; /* 0, 3, 4, 8 (DR: 0 to 7) */
			uint8_t gpr; /* encoding order */
			bool write;
			bool clts, lmsw;
			bool decode; /* reg's access is known, gpr is not: decode the instruction */
			uint16_t source; /* LMSW's operand */
		} cr, dr;
		struct {
			uint8_t vector;
		} sipi, eoi;
		struct {
			bool invalid; /* the guest's state is lost */
		} notify;
		struct {
			uint16_t selector; /* of the new TSS */
			uint8_t cause;	   /* enum task_cause; insn_len for the first three
					      and for software interrupts */
		} task;
		struct hv_event event;
	};
};

/* Optional features, in hv_caps.features. What is required has no bit: without it check() fails. */
enum {
	HV_F_DEADLINE = 1, /* set_deadline() exits by itself (preemption timer); else core/ uses the
			      host timer */
	HV_F_APIC_REGISTERS = 2, /* reads of the APIC page without exits */
	HV_F_VID = 4,		 /* virtual-interrupt delivery: vcpu->vid may become true */
	HV_F_X2APIC = 8,	 /* the same in x2APIC mode */
	HV_F_NEXT_RIP = 32,
	HV_F_PAUSE = 64,    /* PAUSE-loop exiting or pause filter */
	HV_F_NPT_1G = 128,  /* 1 GiB pages in nested tables */
	HV_F_EXEC_4K = 256, /* executable nested mappings must be 4 KiB (iTLB multihit) */
	/* The processor has the instruction, but cannot let a guest execute it: hidden from the
	   guest's CPUID. */
	HV_F_NO_RDTSCP = 512,
	HV_F_NO_INVPCID = 1024,
	HV_F_NO_XSAVES = 2048,
	HV_F_SPEC_CTRL = 4096 /* pass_spec_ctrl() */
};

#define HV_CAPS_RAW 40

struct hv_caps {
	uint32_t features;
	uint32_t asid_count;
	const struct pt_format *npt; /* EPT or NPT entries, for the one walker */
	uint64_t raw[HV_CAPS_RAW];   /* the capability MSRs or leaves themselves, by the back end's
					own index */
};

/* Intercepts that core/ switches at run time, per vCPU. TRAP_PAUSE, of loops, is for HV_F_PAUSE. */
enum { TRAP_HLT = 1, TRAP_PAUSE = 2, TRAP_MWAIT = 4, TRAP_DR = 8, TRAP_RDTSC = 16 };

enum apic_mode { APIC_OFF, APIC_XAPIC, APIC_X2APIC };

/* Pages that cpu_on() takes, at most. */
#define HV_CPU_PAGES 2

struct hv_ops {
	const char *name; /* "vmx" or "svm", as in "cpu N: vmx on" */

	/* Does CPUID of this core say that this back end is the one? Reads CPUID only. */
	bool (*present)(void);
	/* Fills raw[] from this core's CPUID and MSRs. Only reads; may run on any core under the
	 * firmware. */
	void (*probe)(struct hv_caps *caps);
	/*
	 * Judges raw[] (on any core): fills features, asid_count and npt, and keeps the negotiated
	 * controls. Adds one line to MISSING, '\n' at its end, for each required thing that is not
	 * there, by its name in the manual, with what to do about it. Returns 0, or -ENODEV when
	 * anything is missing.
	 */
	int (*check)(struct hv_caps *caps, struct strbuf *missing);
	/* After check(): adds lines to OUT that say what was found and what cpu_on() will write. */
	void (*describe)(const struct hv_caps *caps, struct strbuf *out);
	/* Adds to DIFF a line for each way in which MINE differs from FIRST that matters. Returns 0
	 * or -EINVAL. */
	int (*compare)(const struct hv_caps *first, const struct hv_caps *mine,
		       struct strbuf *diff);
	/* Turns this core on (VMXON; EFER.SVME and host save area); may write what preflight
	 * promised. */
	int (*cpu_on)(struct pcpu *cpu);
	/* Turns it off. No vCPU is loaded on it. */
	void (*cpu_off)(struct pcpu *cpu);

	/* VM: vm->npt is set up by core/. Allocates bitmaps and the like. -ENOMEM. Any core. */
	int (*vm_init)(struct vm *vm);
	/* Traps COUNT ports from PORT on, or lets the guest reach them directly. Before the VM
	 * runs. */
	void (*pio_trap)(struct vm *vm, uint16_t port, uint32_t count, bool on);
	/* Nested tables have lost or changed a mapping: every core drops its translations before it
	 * enters VM again. */
	void (*npt_flush)(struct vm *vm);

	/* vCPU: allocates its VMCS or VMCB, v->hv and v->apic_page. Any core, not loaded. -ENOMEM.
	 */
	int (*vcpu_init)(struct vcpu *v);
	/*
	 * Loaded. Puts every field into the state after power-up: all controls, host state, and
	 * guest state as after RESET with v->st and v->gpr written by core/ beforehand (ST_ALL);
	 * events and windows cleared.
	 */
	int (*vcpu_reset)(struct vcpu *v);
	/* Makes V current on this core: VMPTRLD and the MSRs that no VM entry switches. */
	void (*load)(struct vcpu *v);
	/* Takes V off this core; afterwards another core may load it (VMCLEAR). */
	void (*put)(struct vcpu *v);
	/*
	 * Enters the guest, again and again, until core/ is needed. Looks at v->requests with
	 * interrupts off before each entry and returns EXIT_NONE when one is set; an event that was
	 * to enter is then in x->vectoring. 0, or -EIO with x->reason EXIT_ENTRY_FAILED.
	 */
	int (*run)(struct vcpu *v, struct hv_exit *x);
	/* Fills the groups of v->st that are not yet valid since the last exit. The guest's view:
	 * VMXE, SVME hidden. */
	void (*get_state)(struct vcpu *v, uint32_t groups);
	/* The privilege level alone: seg[SEG_SS].attr's DPL. */
	uint8_t (*cpl)(struct vcpu *v);
	/* Writes the groups from v->st. Whole groups only: get_state() first. The values have been
	 * checked by core/. */
	void (*set_state)(struct vcpu *v, uint32_t groups);
	/* DR7 alone. */
	uint64_t (*dr7)(struct vcpu *v);
	/* Advances RIP by LEN (never 0), ends an interrupt shadow, and queues #DB when RFLAGS.TF is
	 * set. */
	void (*skip_insn)(struct vcpu *v, unsigned int len);
	/* Queues a debug trap at RIP with these bits for DR6 (B0 to B3, BS); it joins a single step
	 * that skip_insn() has queued. */
	void (*debug_trap)(struct vcpu *v, uint64_t dr6);
	/* The bytes of the instruction that faulted, where hardware captured them; returns their
	 * number, else 0. */
	size_t (*insn_bytes)(const struct vcpu *v, uint8_t buf[15]);

	/* What traps. MSR: every MSR traps after vcpu_reset() but those the back end switches by
	 * itself. */
	void (*msr_trap)(struct vcpu *v, uint32_t msr, bool rd, bool wr);
	/* After vcpu_reset(): TRAP_HLT and TRAP_MWAIT. */
	void (*set_traps)(struct vcpu *v, uint32_t mask);
	/*
	 * With HV_F_SPEC_CTRL: the guest has IA32_SPEC_CTRL, with VALUE in it, to itself from its
	 * next entry on, and what Socle has there is back after each exit. Until vcpu_reset().
	 */
	void (*pass_spec_ctrl)(struct vcpu *v, uint64_t value);

	/* The guest's TSC is the host's plus OFFSET (no scaling in this version). */
	void (*set_tsc_offset)(struct vcpu *v, uint64_t offset);
	/* With HV_F_DEADLINE: exit when the host's TSC reaches HOST_TSC (~0: never), but not before
	 * the guest has executed something. */
	void (*set_deadline)(struct vcpu *v, uint64_t host_tsc);

	/* May an event of this type (EVENT_INTR, EVENT_NMI) enter the guest now? RFLAGS.IF,
	 * shadows, NMI blocking. */
	bool (*can_inject)(struct vcpu *v, uint8_t type);
	/* Delivers EV at the next entry. At most one call between two entries. */
	void (*inject)(struct vcpu *v, const struct hv_event *ev);
	/* Exit as soon as an interrupt, or an NMI, could be injected. Stays until called again. */
	void (*want_window)(struct vcpu *v, bool intr, bool nmi);

	/*
	 * Interrupts. v->apic_page is the register page, laid out as SDM vol. 3A table 11-1, with
	 * and without hardware help. apic_mode() says which mode the guest's local APIC is in now;
	 * the back end sets the intercepts of MSRs 800h-8ffh and of the APIC page for it, and
	 * v->vid when it delivers interrupts by itself from now on.
	 */
	void (*apic_mode)(struct vcpu *v, enum apic_mode mode);
	/* With v->vid: IRR or ISR in the page changed; RVI and SVI follow. */
	void (*irq_sync)(struct vcpu *v);
	/* With v->vid: the vectors whose EOI must exit (level-triggered). */
	void (*eoi_exits)(struct vcpu *v, const uint64_t vectors[4]);
	/* Without v->vid: EXIT_TPR when TPR[7:4] falls below CLASS; 0 for never. TPR in the page is
	 * kept current. */
	void (*set_tpr_threshold)(struct vcpu *v, uint8_t cls);

	/* For people: everything there is to say of a stopped vCPU, by the manual's names; one line
	 * each, '\n'. */
	void (*dump)(struct vcpu *v, struct strbuf *out);
	/* The instruction by which a guest calls the hypervisor, for the hypercall page or a patch:
	 * 3 bytes. */
	uint8_t hypercall_insn[3];
};

#endif
