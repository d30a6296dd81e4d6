/*
 * The CMOS clock, in a table of its own for the VMs that have one.
 */
DefinitionBlock ("", "SSDT", 2, "SOCLE ", "SOCLERTC", 1)
{
    Device (\_SB.RTC0)
    {
        Name (_HID, EisaId ("PNP0B00"))
        Name (_CRS, ResourceTemplate ()
        {
            IO (Decode16, 0x70, 0x70, 1, 2)
            IRQNoFlags () { 8 }
        })
    }
}
