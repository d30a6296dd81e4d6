/*
 * Error numbers used inside Socle, always returned negative (-EINVAL). The values are those of
 * Linux, so that a file built for the build machine may include <errno.h> as well: an identical
 * redefinition is allowed (C11 6.10.3).
 */
#ifndef LIB_ERR_H
#define LIB_ERR_H

#define EPERM	   1
#define ENOENT	   2
#define EIO	   5
#define E2BIG	   7
#define ENOEXEC	   8
#define EAGAIN	   11
#define ENOMEM	   12
#define EFAULT	   14
#define EBUSY	   16
#define EEXIST	   17
#define ENODEV	   19
#define EINVAL	   22
#define ENOSPC	   28
#define ERANGE	   34
#define ENOSYS	   38
#define EOPNOTSUPP 95
#define ETIMEDOUT  110

#endif
