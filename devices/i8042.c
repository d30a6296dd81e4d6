#include "devices/i8042.h"

#include "core/bus.h"
#include "core/vm.h"

/* Status, 64h. */
#define OUTPUT_FULL   0x01u
#define SYSTEM_FLAG   0x04u
#define WAS_COMMAND   0x08u
#define NOT_INHIBITED 0x10u
#define OUTPUT_AUX    0x20u
#define TIMEOUT	      0x40u

/* The command byte. */
#define CB_INTERRUPT	 0x01u
#define CB_AUX_INTERRUPT 0x02u
#define CB_SYSTEM_FLAG	 0x04u
#define CB_NO_KEYBOARD	 0x10u
#define CB_NO_AUX	 0x20u
#define CB_TRANSLATE	 0x40u

/* The output port: bits 7:6 are the idle keyboard lines, 5:4 the interrupts. */
#define OP_RESET	 0x01u
#define OP_A20		 0x02u
#define OP_INTERRUPT	 0x10u
#define OP_AUX_INTERRUPT 0x20u
#define OP_LINES	 0xc0u

enum {
	READ_RAM = 0x20,  /* to 3fh */
	WRITE_RAM = 0x60, /* to 7fh */
	TEST_PASSWORD = 0xa4,
	DISABLE_AUX = 0xa7,
	ENABLE_AUX = 0xa8,
	TEST_AUX = 0xa9,
	SELF_TEST = 0xaa,
	TEST_KEYBOARD = 0xab,
	DISABLE_KEYBOARD = 0xad,
	ENABLE_KEYBOARD = 0xae,
	READ_INPUT_PORT = 0xc0,
	READ_OUTPUT_PORT = 0xd0,
	WRITE_OUTPUT_PORT = 0xd1,
	WRITE_OUTPUT = 0xd2,
	WRITE_AUX_OUTPUT = 0xd3,
	SEND_AUX = 0xd4,
	READ_TEST_INPUTS = 0xe0,
	PULSE = 0xf0, /* to ffh: the output port's bits that are 0 in it */
};

#define SELF_TEST_GOOD 0x55
#define TEST_GOOD      0x00
#define NO_PASSWORD    0xf1
/* What the controller gives in place of an answer that did not come. */
#define NO_ANSWER 0xfe
/* Bit 7: the keyboard is not locked. */
#define INPUT_PORT 0x80

static bool interrupt(const struct i8042 *k, bool aux)
{
	bool full = k->status & OUTPUT_FULL && !(k->status & OUTPUT_AUX) == !aux;

	return full && k->ram[0] & (aux ? CB_AUX_INTERRUPT : CB_INTERRUPT);
}

static void update_lines(struct i8042 *k)
{
	vm_set_irq(k->vm, I8042_KEYBOARD_GSI, interrupt(k, false));
	vm_set_irq(k->vm, I8042_AUX_GSI, interrupt(k, true));
}

static void put(struct i8042 *k, uint8_t byte, uint8_t flags)
{
	k->out = byte;
	k->status &= (uint8_t) ~(OUTPUT_AUX | TIMEOUT);
	k->status |= OUTPUT_FULL | flags;
	update_lines(k);
}

static void write_command_byte(struct i8042 *k, uint8_t value)
{
	k->ram[0] = value;
	k->status &= (uint8_t)~SYSTEM_FLAG;
	k->status |= value & CB_SYSTEM_FLAG; /* the same bit */
	update_lines(k);
}

static void write_output_port(struct i8042 *k, uint8_t value)
{
	k->output_port = value & (OP_RESET | OP_A20);
	if (!(value & OP_RESET))
		vm_end(k->vm, VM_END_REBOOT, "");
}

static uint8_t read_output_port(const struct i8042 *k)
{
	return (uint8_t)(OP_LINES | k->output_port | (interrupt(k, false) ? OP_INTERRUPT : 0) |
			 (interrupt(k, true) ? OP_AUX_INTERRUPT : 0));
}

/* Nobody is there to take it. */
static void send(struct i8042 *k, bool aux)
{
	k->ram[0] &= (uint8_t) ~(aux ? CB_NO_AUX : CB_NO_KEYBOARD);
	put(k, NO_ANSWER, TIMEOUT | (aux ? OUTPUT_AUX : 0));
}

/* The byte that COMMAND waited for. */
static void take_parameter(struct i8042 *k, uint8_t command, uint8_t byte)
{
	switch (command) {
	case WRITE_RAM:
		write_command_byte(k, byte);
		break;
	case WRITE_OUTPUT_PORT:
		write_output_port(k, byte);
		break;
	case WRITE_OUTPUT:
		put(k, byte, 0);
		break;
	case WRITE_AUX_OUTPUT:
		put(k, byte, OUTPUT_AUX);
		break;
	case SEND_AUX:
		send(k, true);
		break;
	default:
		k->ram[command - WRITE_RAM] = byte;
		break;
	}
}

static void self_test(struct i8042 *k)
{
	k->status |= SYSTEM_FLAG;
	k->ram[0] |= CB_SYSTEM_FLAG;
	put(k, SELF_TEST_GOOD, 0);
}

/* Commands to the controller itself. */
static void other_command(struct i8042 *k, uint8_t command)
{
	switch (command) {
	case DISABLE_AUX:
		k->ram[0] |= CB_NO_AUX;
		break;
	case ENABLE_AUX:
		k->ram[0] &= (uint8_t)~CB_NO_AUX;
		break;
	case DISABLE_KEYBOARD:
		k->ram[0] |= CB_NO_KEYBOARD;
		break;
	case ENABLE_KEYBOARD:
		k->ram[0] &= (uint8_t)~CB_NO_KEYBOARD;
		break;
	case TEST_PASSWORD:
		put(k, NO_PASSWORD, 0);
		break;
	case SELF_TEST:
		self_test(k);
		break;
	case TEST_AUX:
	case TEST_KEYBOARD:
		put(k, TEST_GOOD, 0);
		break;
	case READ_INPUT_PORT:
		put(k, INPUT_PORT, 0);
		break;
	case READ_OUTPUT_PORT:
		put(k, read_output_port(k), 0);
		break;
	case READ_TEST_INPUTS:
		put(k, 0, 0);
		break;
	case WRITE_OUTPUT_PORT:
	case WRITE_OUTPUT:
	case WRITE_AUX_OUTPUT:
	case SEND_AUX:
		k->command = command;
		break;
	default:
		break;
	}
}

static void write_command(struct i8042 *k, uint8_t command)
{
	k->status |= WAS_COMMAND;
	k->command = 0;
	if (command >= PULSE) {
		if (!(command & OP_RESET))
			vm_end(k->vm, VM_END_REBOOT, "");
	} else if ((command & 0xe0) == READ_RAM) {
		put(k, k->ram[command - READ_RAM], 0);
	} else if ((command & 0xe0) == WRITE_RAM) {
		k->command = command;
	} else {
		other_command(k, command);
	}
}

static void write_data(struct i8042 *k, uint8_t byte)
{
	uint8_t command = k->command;

	k->status &= (uint8_t)~WAS_COMMAND;
	k->command = 0;
	if (command)
		take_parameter(k, command, byte);
	else
		send(k, false);
}

static uint8_t read_data(struct i8042 *k)
{
	k->status &= (uint8_t) ~(OUTPUT_FULL | OUTPUT_AUX | TIMEOUT);
	update_lines(k);
	return k->out;
}

static void data_port(void *dev, struct vcpu *v, uint64_t offset, bool write, uint8_t size,
		      uint64_t *value)
{
	(void)v;
	(void)offset;
	(void)size;
	if (write)
		write_data(dev, (uint8_t)*value);
	else
		*value = read_data(dev);
}

/* A command is taken at once: the input buffer is never full. */
static void command_port(void *dev, struct vcpu *v, uint64_t offset, bool write, uint8_t size,
			 uint64_t *value)
{
	struct i8042 *k = dev;

	(void)v;
	(void)offset;
	(void)size;
	if (write)
		write_command(k, (uint8_t)*value);
	else
		*value = k->status | NOT_INHIBITED;
}

int i8042_init(struct i8042 *k, struct vm *vm)
{
	int err = bus_add_pio(vm, I8042_DATA_PORT, 1, data_port, k);

	*k = (struct i8042){.vm = vm};
	return err ? err : bus_add_pio(vm, I8042_COMMAND_PORT, 1, command_port, k);
}

void i8042_reset(struct i8042 *k)
{
	*k = (struct i8042){.vm = k->vm,
			    .status = SYSTEM_FLAG,
			    .output_port = OP_RESET | OP_A20,
			    .ram = {CB_INTERRUPT | CB_SYSTEM_FLAG | CB_NO_AUX | CB_TRANSLATE}};
	update_lines(k);
}
