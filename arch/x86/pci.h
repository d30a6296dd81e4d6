/* PCI configuration space of segment 0, by ports CF8h and CFCh (PCI Local Bus 3.0, 3.2.2.3.2). */
#ifndef ARCH_X86_PCI_H
#define ARCH_X86_PCI_H

struct pci_masters {
	unsigned int functions; /* that there are */
	unsigned int were_on;	/* of them, those that could read and write memory by themselves */
	unsigned int stay_on;	/* those that did not let themselves be stopped */
};

/*
 * Takes from every function, behind bridges too, the right to read and write memory by itself: no
 * driver is left that would want it to. Host bridges keep theirs. One caller at a time, after the
 * firmware's boot services have ended.
 */
struct pci_masters pci_stop_masters(void);

#endif
