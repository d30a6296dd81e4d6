/* The configuration device, under the name that its specification gives it. */
DefinitionBlock ("", "SSDT", 2, "SOCLE ", "SOCLEFWC", 1)
{
    Device (\_SB.FWCF)
    {
        Name (_HID, "QEMU0002")
        // Present and decoding, and nothing to be shown to a user (ACPI 6.3.7)
        Name (_STA, 0x0b)
        Name (_CRS, ResourceTemplate ()
        {
            IO (Decode16, 0x510, 0x510, 1, 12)
        })
    }
}
