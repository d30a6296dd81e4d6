/* The 8259 pair, the 8254 and the speaker's port, in a table of its own for the VMs that have them. */
DefinitionBlock ("", "SSDT", 2, "SOCLE ", "SOCLEPC ", 1)
{
    Scope (\_SB)
    {
        Device (PIC)
        {
            Name (_HID, EisaId ("PNP0000"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x20, 0x20, 1, 2)
                IO (Decode16, 0xa0, 0xa0, 1, 2)
                IO (Decode16, 0x4d0, 0x4d0, 1, 2)
                IRQNoFlags () { 2 }
            })
        }
        Device (TIMR)
        {
            Name (_HID, EisaId ("PNP0100"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x40, 0x40, 1, 4)
                IRQNoFlags () { 0 }
            })
        }
        Device (SPKR)
        {
            Name (_HID, EisaId ("PNP0800"))
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x61, 0x61, 1, 1)
            })
        }
    }
}
