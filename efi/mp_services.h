/* EFI_MP_SERVICES_PROTOCOL: UEFI PI 1.7 vol. 2 13.4. gnu-efi does not have it. */
#ifndef EFI_MP_SERVICES_H
#define EFI_MP_SERVICES_H

#include <stddef.h>

#include <efi.h>

#define MP_SERVICES_GUID                                               \
	{                                                              \
		0x3fdda605, 0xa76e, 0x4f46,                            \
		{                                                      \
			0xad, 0x29, 0x12, 0xf4, 0x53, 0x1b, 0x3d, 0x08 \
		}                                                      \
	}

#define PROCESSOR_AS_BSP	1
#define PROCESSOR_ENABLED	2
#define PROCESSOR_HEALTH_STATUS 4

struct mp_location {
	UINT32 package, core, thread;
};

struct mp_processor_info {
	UINT64 processor_id; /* the local APIC ID */
	UINT32 status;
	struct mp_location location;
	UINT32 extended[6]; /* written only when asked for */
};

_Static_assert(sizeof(struct mp_processor_info) == 48, "PI vol. 2 13.4");

struct mp_services;

typedef void EFIAPI mp_procedure(void *arg);
typedef EFI_STATUS EFIAPI mp_get_count(struct mp_services *mp, UINTN *count, UINTN *enabled);
typedef EFI_STATUS EFIAPI mp_get_info(struct mp_services *mp, UINTN number,
				      struct mp_processor_info *info);
/* Without WAIT it returns when the procedure has, or with EFI_TIMEOUT. */
typedef EFI_STATUS EFIAPI mp_startup_this_ap(struct mp_services *mp, mp_procedure *procedure,
					     UINTN number, EFI_EVENT wait, UINTN timeout_us,
					     void *arg, BOOLEAN *finished);

/* What Socle does not call is here for its place alone. */
struct mp_services {
	mp_get_count *get_number_of_processors;
	mp_get_info *get_processor_info;
	void *startup_all_aps;
	mp_startup_this_ap *startup_this_ap;
	void *switch_bsp, *enable_disable_ap, *who_am_i;
};

_Static_assert(offsetof(struct mp_services, startup_this_ap) == 24, "PI vol. 2 13.4");

#endif
