/* The HPET, for the VMs that have one; how it is used stands in the table HPET. */
DefinitionBlock ("", "SSDT", 2, "SOCLE ", "SOCLEHPT", 1)
{
    Device (\_SB.HPET)
    {
        Name (_HID, EisaId ("PNP0103"))
        Name (_CRS, ResourceTemplate ()
        {
            Memory32Fixed (ReadOnly, 0xfed00000, 0x400)
        })
    }
}
