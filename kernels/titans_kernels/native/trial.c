/* trial LIBRARY: whether a library of the ops loads here and passes its own trial (trial.h). */

#include <dlfcn.h>

int main(int count, char **arguments) {
    void *library = count == 2 ? dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL) : 0;
    int (*trial)(void) = library ? (int (*)(void))dlsym(library, "trial") : 0;
    return trial ? trial() : 64;
}
