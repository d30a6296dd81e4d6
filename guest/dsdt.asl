/*
 * What of a VM's platform cannot be said in the fixed tables: the sleep state that powers off, and
 * the serial port. There is no PCI. acpi.c passes this table on as iasl made it.
 */
DefinitionBlock ("", "DSDT", 2, "SOCLE ", "SOCLEVM ", 1)
{
    // SLP_TYP for PM1a_CNT and PM1b_CNT (ACPI 7.4.2.6)
    Name (_S5, Package () { 0, 0, 0, 0 })

    Scope (\_SB)
    {
        Device (COM1)
        {
            Name (_HID, EisaId ("PNP0501"))
            Name (_UID, 1)
            Name (_CRS, ResourceTemplate ()
            {
                IO (Decode16, 0x3f8, 0x3f8, 1, 8)
                // Without flags: edge-triggered, active high, exclusive
                IRQNoFlags () { 4 }
            })
        }
    }
}
