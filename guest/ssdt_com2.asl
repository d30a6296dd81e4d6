/* The second serial port, in a table of its own for the VMs that have one. */
DefinitionBlock ("", "SSDT", 2, "SOCLE ", "SOCLECM2", 1)
{
    Device (\_SB.COM2)
    {
        Name (_HID, EisaId ("PNP0501"))
        Name (_UID, 2)
        Name (_CRS, ResourceTemplate ()
        {
            IO (Decode16, 0x2f8, 0x2f8, 1, 8)
            IRQNoFlags () { 3 }
        })
    }
}
