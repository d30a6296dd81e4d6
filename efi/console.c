#include "efi/console.h"

#include <stdbool.h>
#include <stddef.h>

#include "boot/handover.h"
#include "efi/app.h"
#include "efi/paths.h"
#include "lib/log.h"
#include "lib/util.h"

#define MAX_SCREENS 8

/* UEFI 10.3.4: messaging device path, UART. */
#define UART_SUBTYPE 14

#define HOLD_100NS 100000000ULL

static SIMPLE_TEXT_OUTPUT_INTERFACE *screens[MAX_SCREENS];
static size_t screen_count;
static bool serial;

/* Whether what is written to a device with this path comes out of a serial port. */
static bool has_uart(const EFI_DEVICE_PATH *node)
{
	while (!app_path_ends(node)) {
		if (DevicePathType(node) == MESSAGING_DEVICE_PATH &&
		    DevicePathSubType(node) == UART_SUBTYPE)
			return true;
		node = NextDevicePathNode(node);
	}
	return false;
}

/*
 * A device has a path. What has none, like the console splitter behind ConOut, only passes text on
 * to devices, serial ports among them.
 */
static bool is_screen(EFI_HANDLE handle)
{
	static EFI_GUID guid = DEVICE_PATH_PROTOCOL;
	EFI_DEVICE_PATH *path;

	return !EFI_ERROR(app_bs->HandleProtocol(handle, &guid, (void **)&path)) && path &&
	       !has_uart(path);
}

static void add_screen(EFI_HANDLE handle)
{
	static EFI_GUID guid = SIMPLE_TEXT_OUTPUT_PROTOCOL;
	SIMPLE_TEXT_OUTPUT_INTERFACE *screen;

	if (screen_count == MAX_SCREENS ||
	    EFI_ERROR(app_bs->HandleProtocol(handle, &guid, (void **)&screen)))
		return;
	/* One that the firmware does not use has no mode yet, and refuses text. */
	if (screen->Mode && screen->Mode->Mode < 0 && EFI_ERROR(screen->SetMode(screen, 0)))
		return;
	/* The firmware's logo would hide text. */
	screen->ClearScreen(screen);
	screens[screen_count++] = screen;
}

static void find_screens(void)
{
	static EFI_GUID guid = SIMPLE_TEXT_OUTPUT_PROTOCOL;
	EFI_HANDLE *handles;
	UINTN count;

	if (EFI_ERROR(app_bs->LocateHandleBuffer(ByProtocol, &guid, NULL, &count, &handles)))
		return;
	for (UINTN i = 0; i < count; i++) {
		if (handles[i] != app_st->ConsoleOutHandle && is_screen(handles[i]))
			add_screen(handles[i]);
	}
	app_bs->FreePool(handles);
}

static void screens_write(CHAR16 *text)
{
	for (size_t i = 0; i < screen_count; i++)
		screens[i]->OutputString(screens[i], text);
	/* Better twice than never. */
	if (screen_count == 0 && !serial && app_st->ConOut)
		app_st->ConOut->OutputString(app_st->ConOut, text);
}

/* Units for the next character of TEXT: screens show the Basic Multilingual Plane, and no tabs. */
static CHAR16 screen_char(const char **text)
{
	int32_t c = utf8_next(text);

	if (c == '\t')
		return ' ';
	return c < ' ' || c > 0xffff ? '?' : (CHAR16)c;
}

/* The log's lock is held: the buffers are this call's alone. */
static void screens_line(const char *line, size_t len)
{
	static char text[1024];
	static CHAR16 units[sizeof(text) + 2];
	const char *from = text;
	size_t n = 0;

	len = MIN(len, sizeof(text) - 1);
	for (size_t i = 0; i < len; i++)
		text[i] = line[i] ? line[i] : '?';
	text[len] = '\0';
	while (*from)
		units[n++] = screen_char(&from);
	units[n++] = '\r';
	units[n++] = '\n';
	units[n] = 0;
	screens_write(units);
}

static void write_line(void *ctx, const char *line, size_t len)
{
	(void)ctx;
	boot_serial_write(line, len);
	boot_serial_write("\r\n", 2);
	screens_line(line, len);
}

static void write_serial_line(void *ctx, const char *line, size_t len)
{
	(void)ctx;
	boot_serial_write(line, len);
	boot_serial_write("\r\n", 2);
}

void console_start(uint64_t rsdp)
{
	static CHAR16 newline[] = {'\r', '\n', 0};

	serial = boot_serial_init(NULL, rsdp);
	find_screens();
	/* The firmware may have left its cursor in the middle of a line. */
	boot_serial_write("\r\n", 2);
	screens_write(newline);
	log_set_sink(write_line, NULL);
}

static bool names(const struct config_socle *config, enum config_console_kind kind)
{
	for (size_t i = 0; i < config->console_count; i++)
		if (config->consoles[i].kind == kind)
			return true;
	return false;
}

static void print_screen(const struct boot_framebuffer *fb, bool asked)
{
	const char *why = "no serial port answers: the console goes to the firmware's";

	log_info("%s screen: %u x %u pixels at %lx", asked ? "console:" : why, fb->width,
		 fb->height, fb->base);
}

bool console_configure(const struct config_socle *config, uint64_t rsdp,
		       const struct boot_framebuffer *fb)
{
	bool asked = names(config, CONFIG_CONSOLE_SCREEN), screen;

	log_set_level(config->log);
	serial = boot_serial_init(config, rsdp);
	screen = asked || (!serial && !names(config, CONFIG_CONSOLE_NONE));
	if (!screen)
		return false;
	if (boot_screen_usable(fb)) {
		print_screen(fb, asked);
		return true;
	}
	if (serial)
		log_warn("console: the firmware has no screen that Socle can draw on");
	else
		log_warn("no serial port answers, and the firmware has no screen that Socle can "
			 "draw on: once the firmware is left, nothing will be seen of Socle and "
			 "its guests");
	return false;
}

void console_leave_firmware(void)
{
	log_set_sink(write_serial_line, NULL);
}

static void drop_keys(SIMPLE_INPUT_INTERFACE *keyboard)
{
	EFI_INPUT_KEY key;

	for (int i = 0; i < 256 && !EFI_ERROR(keyboard->ReadKeyStroke(keyboard, &key)); i++)
		;
}

void console_hold(void)
{
	SIMPLE_INPUT_INTERFACE *keyboard = app_st->ConIn;
	EFI_EVENT events[2];
	UINTN which;

	if (EFI_ERROR(app_bs->CreateEvent(EVT_TIMER, 0, NULL, NULL, &events[0])))
		return;
	/* What was typed before, to get here, is not meant. */
	if (keyboard)
		drop_keys(keyboard);
	events[1] = keyboard ? keyboard->WaitForKey : NULL;
	if (!EFI_ERROR(app_bs->SetTimer(events[0], TimerRelative, HOLD_100NS)))
		app_bs->WaitForEvent(keyboard ? 2 : 1, events, &which);
	if (keyboard)
		drop_keys(keyboard);
	app_bs->CloseEvent(events[0]);
}
