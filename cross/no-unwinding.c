/* The stack unwinder of a program that never unwinds: it aborts on panic and carries no tables to unwind by. The standard
 * library and crates that print backtraces refer to these names; a walk over the stack ends before its first frame. */
#include <stdint.h>
#include <stdlib.h>

enum { END_OF_STACK = 5, FAILURE = 9 };

int _Unwind_Backtrace(void *each, void *argument) { (void)each; (void)argument; return END_OF_STACK; }
uintptr_t _Unwind_GetIP(void *context) { (void)context; return 0; }
uintptr_t _Unwind_GetIPInfo(void *context, int *before) { (void)context; *before = 0; return 0; }
uintptr_t _Unwind_GetCFA(void *context) { (void)context; return 0; }
uintptr_t _Unwind_GetGR(void *context, int index) { (void)context; (void)index; return 0; }
uintptr_t _Unwind_GetRegionStart(void *context) { (void)context; return 0; }
uintptr_t _Unwind_GetTextRelBase(void *context) { (void)context; return 0; }
uintptr_t _Unwind_GetDataRelBase(void *context) { (void)context; return 0; }
void *_Unwind_GetLanguageSpecificData(void *context) { (void)context; return 0; }
void *_Unwind_FindEnclosingFunction(void *address) { (void)address; return 0; }
void _Unwind_SetGR(void *context, int index, uintptr_t value) { (void)context; (void)index; (void)value; }
void _Unwind_SetIP(void *context, uintptr_t value) { (void)context; (void)value; }
void _Unwind_DeleteException(void *exception) { (void)exception; }
int _Unwind_RaiseException(void *exception) { (void)exception; return END_OF_STACK; }
void _Unwind_Resume(void *exception) { (void)exception; abort(); }

#ifdef __ARM_EABI__
int _Unwind_VRS_Get(void *context, int class, uint32_t number, int form, void *value)
{ (void)context; (void)class; (void)number; (void)form; *(uint32_t *)value = 0; return FAILURE; }
int _Unwind_VRS_Set(void *context, int class, uint32_t number, int form, void *value)
{ (void)context; (void)class; (void)number; (void)form; (void)value; return FAILURE; }
int __gnu_unwind_frame(void *exception, void *context) { (void)exception; (void)context; return FAILURE; }
int __aeabi_unwind_cpp_pr0(int state, void *block, void *context) { (void)state; (void)block; (void)context; return FAILURE; }
int __aeabi_unwind_cpp_pr1(int state, void *block, void *context) { (void)state; (void)block; (void)context; return FAILURE; }
int __aeabi_unwind_cpp_pr2(int state, void *block, void *context) { (void)state; (void)block; (void)context; return FAILURE; }
#endif
