#include "devices/pc_ports.h"

#include "lib/util.h"

static const struct {
	uint16_t port, count;
	const char *name;
} ports[] = {
	{0x20, 2, "the interrupt controller"},	  {0x40, 4, "the interval timer"},
	{0x60, 1, "the keyboard controller"},	  {0x61, 1, "the system board"},
	{0x64, 1, "the keyboard controller"},	  {RTC_PORT, 2, "the CMOS clock"},
	{0x80, 1, "the POST code port"},	  {0x92, 1, "the system board"},
	{0xa0, 2, "the interrupt controller"},	  {UART_COM1_PORT, UART_PORTS, "COM1"},
	{0x4d0, 2, "the interrupt controller"},	  {FW_CFG_PORT, FW_CFG_PORTS, "fw_cfg"},
	{ACPI_PM1_EVT_PORT, 6, "ACPI"},		  {ACPI_PM_TMR_PORT, 4, "ACPI"},
	{0xcf8, 4, "the reset control register"},
};

static bool overlap(uint32_t a, uint32_t a_count, uint32_t b, uint32_t b_count)
{
	return a < b + b_count && b < a + a_count;
}

const char *pc_port_owner(uint16_t port, uint32_t count, bool com2)
{
	if (com2 && overlap(port, count, UART_COM2_PORT, UART_PORTS))
		return "COM2";
	for (size_t i = 0; i < ARRAY_SIZE(ports); i++) {
		if (overlap(port, count, ports[i].port, ports[i].count))
			return ports[i].name;
	}
	return NULL;
}
